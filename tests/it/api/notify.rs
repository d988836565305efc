//! Notices over a real socket: signed, tried again, given up.

use crate::access::world::{World, at, person, rules};
use base64::Engine as _;
use enforcer::access::Asking;
use enforcer::config::Channel;
use enforcer::notify::Poster;
use enforcer::store::{NoticeState, Page};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Answers each call with the next status, and returns what was said.
async fn desk(listener: TcpListener, statuses: &[u16]) -> Vec<String> {
    let mut heard = Vec::new();
    for status in statuses {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        loop {
            let count = stream.read(&mut part).await.unwrap();
            bytes.extend_from_slice(&part[..count]);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                heard.push(text);
                break;
            }
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
    heard
}

#[tokio::test]
async fn a_channel_hears_of_a_request_signed_and_again_after_a_failure() {
    let world = World::new();
    let mut rules = rules();
    rules.approvals.iter_mut().for_each(|approval| approval.notify = vec!["desk".to_owned(), "gone".to_owned()]);
    world.publish(rules, "c2");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let secret = world.folder.path().join("secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    let url = format!("http://{}/hook?token=hush", listener.local_addr().unwrap());
    let channel = Channel { name: "desk".to_owned(), webhook: url, secret: Some(secret) };
    let store = Arc::clone(world.access.store());
    let poster = Poster::new(Arc::clone(&store), &[channel], "gw-1".to_owned(), "https://gw".to_owned()).unwrap();
    let (stop, stopped) = watch::channel(false);
    let posting = tokio::spawn(poster.run(stopped));
    let asking = Asking {
        connection: "ledger".to_owned(),
        reason: Some("totals".to_owned()),
        ticket: Some("INC-7".to_owned()),
        ..Asking::default()
    };
    world.access.request(&person("dana", &["devs"]), asking, None, at(0)).await.unwrap();
    let heard = tokio::time::timeout(Duration::from_secs(20), desk(listener, &[503, 204])).await.unwrap();
    let (head, body) = heard[1].split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook?token=hush "), "{head}");
    let header = |name: &str| {
        let line = head.lines().find(|line| line.to_lowercase().starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    let (id, seconds) = (header("webhook-id"), header("webhook-timestamp"));
    let key = aws_lc_rs::hmac::Key::new(
        aws_lc_rs::hmac::HMAC_SHA256,
        &base64::engine::general_purpose::STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
    );
    let tag = aws_lc_rs::hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    let want = format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(tag));
    assert_eq!(header("webhook-signature"), want);
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&body["type"], &body["data"]["reason"]), (&"request.asked".into(), &"totals".into()));
    assert!(body["url"].as_str().unwrap().starts_with("https://gw/requests/req_"), "{body}");
    assert!(heard[0].contains(&id), "the same news bears the same id");
    for _ in 0..100 {
        if store.notices(NoticeState::Delivered, Page::first(10)).await.unwrap().len() == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.notices(NoticeState::Delivered, Page::first(10)).await.unwrap().len(), 1);
    let waiting = store.notices(NoticeState::Waiting, Page::first(10)).await.unwrap();
    assert!(waiting[0].error.as_deref().unwrap().contains("no channel `gone`"));
    stop.send(true).unwrap();
    posting.await.unwrap();
}
