//! `baetyl token`.

use baetyl_proto::cloud::v1 as wire;
use baetyl_proto::cloud::v1::token_service_client::TokenServiceClient;

use crate::args::{Form, TokenCommand};
use crate::client::{Client, call};
use crate::failure::Failure;
use crate::output::{self, Table, age, dash, line, say, time};

pub(super) async fn run(client: &Client, form: Form, command: TokenCommand) -> Result<(), Failure> {
    let mut tokens = TokenServiceClient::new(client.cloud().await?);
    match command {
        TokenCommand::Create {
            name,
            lifetime,
            all_namespaces,
        } => {
            let namespace = if all_namespaces {
                "*".to_owned()
            } else {
                client.namespace.clone()
            };
            let lifetime = lifetime.map(prost_types::Duration::try_from).transpose();
            let lifetime = lifetime.map_err(Failure::local)?;
            let request = wire::CreateTokenRequest {
                name,
                namespace,
                lifetime,
            };
            let made = tokens.create_token(call(request)).await?.into_inner();
            if form != Form::Table {
                return output::message(form, "baetyl.cloud.v1.CreateTokenResponse", &made);
            }
            say("keep it, it is shown this once:");
            line(&made.secret);
            Ok(())
        }
        TokenCommand::List => {
            let request = wire::ListTokensRequest {
                page_size: 1000,
                ..Default::default()
            };
            let listed = tokens.list_tokens(call(request)).await?.into_inner();
            if form != Form::Table {
                return output::message(form, "baetyl.cloud.v1.ListTokensResponse", &listed);
            }
            let mut table = Table::new(&["NAME", "NAMESPACE", "AGE", "EXPIRES"]);
            for token in &listed.tokens {
                table.add(vec![
                    token.name.clone(),
                    token.namespace.clone(),
                    age(token.create_time.as_ref()),
                    dash(&time(token.expire_time.as_ref())),
                ]);
            }
            table.print();
            Ok(())
        }
        TokenCommand::Delete { name } => {
            let request = wire::DeleteTokenRequest { name: name.clone() };
            tokens.delete_token(call(request)).await?;
            line(&format!("token/{name} revoked"));
            Ok(())
        }
    }
}
