//! `TokenService`.

use baetyl_proto::cloud::v1 as pb;
use baetyl_proto::cloud::v1::token_service_server::TokenService;
use tonic::{Request, Response, Status};

use super::{Api, answer, cut, duration, page};
use crate::auth::Token;

/// What tells the list of tokens apart.
const LIST: &str = "tokens";

#[tonic::async_trait]
impl TokenService for Api {
    async fn create_token(
        &self,
        request: Request<pb::CreateTokenRequest>,
    ) -> Result<Response<pb::CreateTokenResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let lifetime = duration("lifetime", asked.lifetime)?;
            let (tokens, now) = (self.app().tokens(), self.app().now());
            let (name, namespace) = (&asked.name, &asked.namespace);
            let made = tokens
                .create(&caller, name, namespace, lifetime, now)
                .await?;
            Ok(pb::CreateTokenResponse {
                secret: made.secret.reveal().to_string(),
                token: Some(message(made.token)),
            })
        };
        answer(answered.await)
    }

    async fn list_tokens(
        &self,
        request: Request<pb::ListTokensRequest>,
    ) -> Result<Response<pb::ListTokensResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            let (size, after) = page(asked.page_size, &asked.page_token, LIST)?;
            let after = after.as_ref().map(|after| after.as_str());
            // One more than is asked for tells whether there is another page.
            let found = self.app().tokens().list(&caller, after, size + 1).await?;
            let mut tokens: Vec<pb::Token> = found.into_iter().map(message).collect();
            let next_page_token = cut(&mut tokens, size, LIST, |token| &token.name);
            Ok(pb::ListTokensResponse {
                tokens,
                next_page_token,
            })
        };
        answer(answered.await)
    }

    async fn delete_token(
        &self,
        request: Request<pb::DeleteTokenRequest>,
    ) -> Result<Response<pb::DeleteTokenResponse>, Status> {
        let answered = async {
            let caller = self.caller(&request).await?;
            let asked = request.into_inner();
            self.app().tokens().delete(&caller, &asked.name).await?;
            Ok(pb::DeleteTokenResponse {})
        };
        answer(answered.await)
    }
}

fn message(token: Token) -> pb::Token {
    pb::Token {
        name: token.name,
        namespace: token.scope.as_str().to_owned(),
        create_time: Some(token.create_time.into()),
        expire_time: token.expire_time.map(Into::into),
    }
}
