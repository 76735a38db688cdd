//! Who is not trusted any more is refused at once; what runs on the device is another matter.

use std::time::{Duration, SystemTime};

use anyhow::Result;
use baetyl_pki::{Authority, KeyPair, Profile, Validity};
use baetyl_proto::resource::v1::{ApplicationState, ApplicationStatus};
use baetyl_proto::sync::v1::FetchBodiesRequest;
use baetyl_proto::sync::v1::sync_service_client::SyncServiceClient;
use baetyl_service_kit::tls::Identity;
use baetyl_tests::{Site, instances, wait};

const PUMP: &str = "apiVersion: baetyl.io/v1\nkind: Application\nname: pump\ntype: process\n\
    selector: site = demo\nservices:\n  - name: main\n    program: {entry: [sleep, \"100000\"]}\n";

#[tokio::test]
async fn when_a_node_is_revoked_then_its_stream_ends_it_stays_refused_and_its_applications_run_on()
-> Result<()> {
    let mut site = Site::start().await?;
    site.cli_with(&["apply", "-f", "-", "--wait"], PUMP.as_bytes())
        .await?
        .ok()?;
    let before = instances(site.folder());

    site.cli(&["node", "revoke", "demo"]).await?.ok()?;

    site.node
        .until("the end of the stream", |status| {
            status.disconnect_reason.contains("REVOKED")
        })
        .await?;
    let nodes = async || Ok(site.cli(&["get", "nodes"]).await?.stdout);
    wait::until("the node offline", nodes, |nodes| nodes.contains("offline")).await?;
    let before_refusal = site.counter("identity_refusals_total").await?;
    site.node.kill().await?;
    site.node.start(&[])?;
    let status = site
        .node
        .until("refused again, the application adopted", |status| {
            let mut states = status.applications.iter().map(ApplicationStatus::state);
            status.disconnect_reason.contains("CERTIFICATE_REVOKED")
                && states.next() == Some(ApplicationState::Healthy)
        })
        .await?;
    assert_eq!(status.applications.len(), 1, "{status:?}");
    assert_eq!(instances(site.folder()), before);
    let count = async || site.counter("identity_refusals_total").await;
    wait::until("the refusal in the count", count, |count| {
        *count > before_refusal
    })
    .await?;
    let log = async || Ok(site.cloud_log());
    wait::until("the refusal in the log", log, |log| {
        log.contains("CERTIFICATE_REVOKED")
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn when_another_authority_signed_a_certificate_then_it_is_refused_counted_and_logged()
-> Result<()> {
    let site = Site::start().await?;
    let before = site.counter("tls_handshake_failures_total").await?;

    let validity = Validity {
        now: SystemTime::now(),
        lifetime: Duration::from_secs(3600),
    };
    let other = Authority::create("other", &"baetyl.local".parse()?, validity)?;
    let key = KeyPair::generate();
    let uid = site.node.status().await?.node_uid.parse()?;
    let profile = Profile::node("default".parse()?, "demo".parse()?, uid);
    let issued = other.issue(key.public_key(), &profile, validity)?;
    let identity = Identity::try_new((other.chain(&issued), key.to_private_key_der()))?;
    let mut client = SyncServiceClient::new(site.sync_channel(identity)?);
    let answer = client.fetch_bodies(FetchBodiesRequest::default()).await;

    assert!(answer.is_err());
    let count = async || site.counter("tls_handshake_failures_total").await;
    wait::until("the refusal in the count", count, |count| *count > before).await?;
    let log = async || Ok(site.cloud_log());
    wait::until("the refusal in the log", log, |log| {
        log.contains("certificate refused")
    })
    .await?;
    site.until_online().await
}

#[tokio::test]
async fn given_a_node_was_made_anew_when_the_old_device_comes_then_it_is_sent_away_and_forgets_all()
-> Result<()> {
    let mut site = Site::start().await?;
    site.cli_with(&["apply", "-f", "-", "--wait"], PUMP.as_bytes())
        .await?
        .ok()?;
    site.node.stop().await?;

    site.cli(&["delete", "node", "demo"]).await?.ok()?;
    let added = site
        .cli(&["node", "add", "demo", "-l", "site=demo"])
        .await?
        .ok()?;
    site.node.start(&[])?;

    let look = async || Ok(instances(site.folder()));
    wait::until("the end of the applications", look, Vec::is_empty).await?;
    let end = site.node.until_ended().await?;
    assert!(end.success(), "{end}: {}", site.node.log());
    let nodes = site.cli(&["get", "nodes"]).await?.ok()?;
    assert!(!nodes.contains("online"), "{nodes}");
    site.join(&added, "other").await?.ok()?;
    let reused = site.join(&added, "third").await?;
    assert_eq!(reused.code, 1, "{reused:?}");
    assert!(
        reused.stderr.contains("[PERMISSION_DENIED / TOKEN_REUSED]"),
        "{reused:?}"
    );
    assert!(!site.folder().join("third/identity/node.json").exists());
    Ok(())
}
