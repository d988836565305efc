//! Lists, keys and encrypted recordings.

use super::*;
use std::os::unix::fs::MetadataExt;

#[test]
fn lists_show_the_newest_first_with_their_states() {
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, u64::MAX);
    let mut first = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    first.close(at(1), &client_left()).unwrap();
    let later = Timestamp::from_unix_ms(at(0).unix_ms() + 40 * 86_400_000);
    let second = recorder.open(later, opened(2), Recorded::Full).unwrap();
    let broken = recorder.open(later, opened(3), Recorded::Full).unwrap();
    fs::write(broken.folder().join("000000.rec"), [0_u8; 500]).unwrap();
    let found = list(&temp.0, 10).unwrap();
    let facts: Vec<_> = found.iter().map(|summary| (summary.session.clone(), summary.state.word())).collect();
    let session = |number| opened(number).session;
    assert_eq!(facts, [(session(2), "live"), (session(3), "damaged"), (session(1), "closed")]);
    assert_eq!(list(&temp.0, 1).unwrap().len(), 1);
    assert_eq!(find(&temp.0, &session(2)).unwrap().unwrap(), second.folder());
    assert_eq!(find(&temp.0, &session(9)).unwrap(), None);
    assert!(
        matches!(summary(&temp.0, &session(1)).unwrap().unwrap().state, State::Closed { cause, .. } if cause == "client")
    );
    assert!(list(&temp.0.join("nowhere"), 10).unwrap().is_empty());
}

#[test]
fn keys_are_created_private_and_read_again() {
    let temp = TempFolder::new();
    let file = temp.0.join("state/recording.key");
    let (key, created) = SigningKey::load_or_create(&file).unwrap();
    assert!(created);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let (again, created) = SigningKey::load_or_create(&file).unwrap();
    assert!(!created);
    assert_eq!(key.public(), again.public());
    assert_eq!(PublicKey::load(&public_file(&file)).unwrap(), key.public());
    assert_eq!(PublicKey::parse(&key.public().to_string()), Some(key.public()));
    let seed = fs::read_to_string(&file).unwrap();
    assert!(seed.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert!(!format!("{key:?}").contains(seed.lines().nth(1).unwrap()));
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    assert!(matches!(SigningKey::load_or_create(&file), Err(KeyError::Exposed { .. })));
    fs::write(temp.0.join("bad"), "nothing").unwrap();
    fs::set_permissions(temp.0.join("bad"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert!(matches!(SigningKey::load(&temp.0.join("bad")), Err(KeyError::Malformed { .. })));
}

#[test]
fn an_encrypted_recording_is_verified_without_its_key_and_read_with_it() {
    const CANARY: &[u8] = b"canary-4471";
    let temp = TempFolder::new();
    let recipients = vec![age::Recipient::parse(age::tests::RECIPIENT).unwrap()];
    let settings = Settings { recipients, ..Settings::new(temp.0.clone()) };
    let recorder = Recorder::with_disk(settings, key(), Box::new(OsDisk), 2_000).unwrap();
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    let rows: Vec<Event> = (0..6).map(|step| to_client(step, [CANARY, &[7; 900]].concat())).collect();
    for row in &rows {
        session.append(std::slice::from_ref(row)).unwrap();
    }
    session.append(&[decision(10)]).unwrap();
    session.close(at(20), &client_left()).unwrap();
    let folder = unsealed(&{
        let folder = session.folder().to_owned();
        drop((session, recorder));
        folder
    });
    for entry in fs::read_dir(&folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY));
        assert!(!bytes.windows(13).any(|window| window == b"public.orders"));
    }
    let (entries, end) = read_all(&folder).unwrap();
    assert_eq!(kinds(&entries), ["opened", "closed"]);
    assert!(matches!(end, End::Complete { .. }));
    let identities = || age::Identity::parse_all(age::tests::IDENTITY).unwrap();
    let mut reader = Reader::open(&folder, Some(key().public())).unwrap().with_identities(identities());
    let found: Vec<Entry> = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!(found.iter().filter(|entry| rows.contains(&entry.event)).count(), rows.len());
    assert!(found.iter().any(|entry| entry.event == decision(10)));
    assert_eq!(reader.hidden(), 0);
    // Every changed byte is found without the key.
    let file = folder.join("000000.rec");
    let whole = fs::read(&file).unwrap();
    for place in (0..whole.len()).step_by(7) {
        let mut bytes = whole.clone();
        bytes[place] ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert!(read_all(&folder).is_err(), "byte {place}");
    }
}

#[tokio::test]
async fn without_its_key_service_no_session_opens_and_a_wrapped_key_is_not_needed_to_verify() {
    let temp = TempFolder::new();
    let token = temp.0.join("token");
    fs::write(&token, "s.zqtoken\n").unwrap();
    let service = transit::Settings {
        // Nothing listens there.
        address: "http://127.0.0.1:9".into(),
        mount: "transit".into(),
        key: "recordings".into(),
        token,
    };
    let settings = Settings { key_service: Some(service), ..Settings::new(temp.0.join("recordings")) };
    let recorder = Recorder::with_disk(settings, key(), Box::new(OsDisk), u64::MAX).unwrap();
    let refused = recorder.key_for(&opened(1).session).await.unwrap_err();
    assert!(matches!(refused, RecorderError::Key(_)));
    assert!(!refused.to_string().contains("zqtoken") && !format!("{refused:?}").contains("zqtoken"));
    assert!(matches!(recorder.open(at(0), opened(1), Recorded::Full), Err(RecorderError::Refused(_))));

    let file = b"leasehold-transit/v1\ntransit/recordings\nvault:v1:AAAA\n".to_vec();
    let payload_key = age::PayloadKey::from_bytes(&zeroize::Zeroizing::new([3; 32])).unwrap();
    let wrapped = transit::Wrapped { key: payload_key, file };
    let mut session = recorder.open_with(at(0), opened(2), Recorded::Full, Some(wrapped)).unwrap();
    session.append(&[from_client(10, &b"Q\0\0\0\x0fzqcanary 1\0"[..]), decision(11)]).unwrap();
    session.close(at(20), &client_left()).unwrap();
    let folder = session.folder().to_owned();
    drop((session, recorder));
    let mut reader = Reader::open(&folder, Some(key().public())).unwrap();
    while reader.next_entry().unwrap().is_some() {}
    assert!(matches!(reader.end(), Some(End::Complete { .. })));
    assert_eq!(reader.hidden(), 2);
    let bytes = fs::read(folder.join("000000.rec.zst")).unwrap();
    let plain = zstd::decode_all(bytes.as_slice()).unwrap();
    assert!(!plain.windows(8).any(|window| window == b"zqcanary"));
}
