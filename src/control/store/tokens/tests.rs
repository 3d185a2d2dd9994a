//! Redeeming join tokens: who wins, who is refused, and that a refusal leaves no trace. Refuses to sleep: time is passed in.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::control::store::new_connector_id;
use crate::tunnel::scratch::Scratch;

const HOUR: Duration = Duration::from_secs(3_600);

fn connector(name: Option<&str>) -> NewConnector {
    NewConnector {
        id: new_connector_id().unwrap(),
        name: name.map(str::to_owned),
        host: "nas".into(),
        version: "0.1.0".into(),
        serial: "4a".into(),
        not_after: 9_999,
    }
}

/// Every row of both tables, hash included.
async fn everything(store: &Store) -> String {
    let hashes: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT secret_hash FROM tokens ORDER BY id").fetch_all(&store.pool).await.unwrap();
    format!("{hashes:?} {:?} {:?}", store.list_tokens().await.unwrap(), store.connectors().await.unwrap())
}

#[tokio::test]
async fn a_token_is_redeemed_into_a_connector_of_its_group() {
    let dir = Scratch::new();
    let store = Store::open(dir.path()).await.unwrap();
    let (id, secret) = store.create_token("berlin", Some("attic"), HOUR, 1_000).await.unwrap();
    assert_eq!(store.check_token(&id, &secret, 1_000).await.unwrap().group, "berlin");
    let record = store.redeem(&id, &secret, 1_234, connector(None)).await.unwrap();
    assert_eq!((record.group.as_str(), record.name.as_str()), ("berlin", "attic"));
    assert_eq!((record.enrolled_at, record.last_seen_at, record.revoked_at), (1_234, 1_234, None));
    assert_eq!(store.connector(&record.id).await.unwrap().as_ref(), Some(&record));
    let token = &store.list_tokens().await.unwrap()[0];
    assert_eq!((token.used_at, token.used_by.as_deref()), (Some(1_234), Some(record.id.as_str())));
    assert_eq!((token.created_at, token.expires_at), (1_000, 4_600));
}

#[tokio::test]
async fn each_refusal_has_its_own_error_and_leaves_no_trace() {
    let dir = Scratch::new();
    let store = Store::open(dir.path()).await.unwrap();
    let (open, open_secret) = store.create_token("g", None, HOUR, 1_000).await.unwrap();
    let (used, used_secret) = store.create_token("g", None, HOUR, 1_000).await.unwrap();
    let winner = store.redeem(&used, &used_secret, 1_001, connector(None)).await.unwrap();
    let before = everything(&store).await;

    let refusal = store.redeem(&[7; 8], &open_secret, 1_001, connector(None)).await.unwrap_err();
    assert!(matches!(refusal, RedeemError::Unknown), "{refusal:?}");
    let refusal = store.redeem(&open, &used_secret, 1_001, connector(None)).await.unwrap_err();
    assert!(matches!(refusal, RedeemError::WrongSecret), "{refusal:?}");
    let refusal = store.redeem(&open, &open_secret, 4_600, connector(None)).await.unwrap_err();
    assert!(matches!(refusal, RedeemError::Expired { at: 4_600, .. }), "{refusal:?}");
    let refusal = store.redeem(&used, &used_secret, 9_000, connector(None)).await.unwrap_err();
    assert!(matches!(&refusal, RedeemError::AlreadyUsed { by: Some(by), .. } if *by == winner.id), "{refusal:?}");
    let refusal = store.redeem(&used, &open_secret, 9_000, connector(None)).await.unwrap_err();
    assert!(matches!(refusal, RedeemError::WrongSecret), "a used token's state is shown to a stranger: {refusal:?}");
    let twin = NewConnector { id: winner.id.clone(), ..connector(None) };
    let refusal = store.redeem(&open, &open_secret, 1_001, twin).await.unwrap_err();
    assert!(matches!(refusal, RedeemError::Store(StoreError::Database(_))), "{refusal:?}");

    assert_eq!(everything(&store).await, before);
    assert!(store.redeem(&open, &open_secret, 4_599, connector(None)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_exactly_one_wins() {
    let dir = Scratch::new();
    let (edge, other) = (Store::open(dir.path()).await.unwrap(), Store::open(dir.path()).await.unwrap());
    for _ in 0..20 {
        let (id, secret) = edge.create_token("g", None, HOUR, 1_000).await.unwrap();
        let attempts: Vec<_> = (0..6)
            .map(|number| {
                let store = if number % 2 == 0 { edge.clone() } else { other.clone() };
                tokio::spawn(async move { store.redeem(&id, &secret, 1_001, connector(None)).await })
            })
            .collect();
        let (mut winners, mut losers) = (Vec::new(), Vec::new());
        for attempt in attempts {
            match attempt.await.unwrap() {
                Ok(record) => winners.push(record.id),
                Err(RedeemError::AlreadyUsed { by, .. }) => losers.push(by),
                Err(other) => panic!("neither won nor lost: {other:?}"),
            }
        }
        assert_eq!((winners.len(), losers.len()), (1, 5));
        assert!(losers.iter().all(|by| by.as_ref() == winners.first()));
    }
    assert_eq!(edge.connectors().await.unwrap().len(), 20);
}

#[tokio::test]
async fn no_secret_reaches_the_disk() {
    let dir = Scratch::new();
    let store = Store::open(dir.path()).await.unwrap();
    let (id, secret) = store.create_token("g", None, HOUR, 1_000).await.unwrap();
    let mut id_seen = false;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|window| window == secret));
        id_seen |= bytes.windows(8).any(|window| window == id);
    }
    assert!(id_seen, "the search looks where rows are written");
}

#[tokio::test]
async fn a_deleted_token_is_unknown_and_its_connector_stays() {
    let dir = Scratch::new();
    let store = Store::open(dir.path()).await.unwrap();
    let (id, secret) = store.create_token("g", None, Duration::MAX, 1_000).await.unwrap();
    let record = store.redeem(&id, &secret, i64::MAX - 1, connector(Some("own"))).await.unwrap();
    assert_eq!(record.name, "own");
    store.delete_token(&id).await.unwrap();
    assert!(matches!(store.delete_token(&id).await, Err(StoreError::NoSuchToken)));
    assert!(matches!(store.check_token(&id, &secret, 1).await, Err(RedeemError::Unknown)));
    assert!(!store.is_revoked(&record.id).await.unwrap());
}
