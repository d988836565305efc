//! Required commit signatures.

use super::repo::{FILE, Folder, Repo, commit_of, settings, ssh_key, start, text};
use git2::Oid;

fn unsigned(repo: &Repo, lifetime: &str) -> Oid {
    let parents: Vec<Oid> = repo.tip().into_iter().collect();
    repo.object(&parents, repo.tree(&[("policy.kdl", FILE, text(lifetime).as_bytes())]), "policy")
}

#[tokio::test]
async fn only_commits_of_allowed_signers_are_applied() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let (ada, ada_line) = ssh_key(&folder, "ada");
    let (eve, eve_line) = ssh_key(&folder, "eve");
    let signers = folder.0.join("allowed_signers");
    std::fs::write(&signers, &ada_line).unwrap();
    let mut strict = settings(&repo);
    strict.signers = Some(signers.clone());
    let first = repo.signed(unsigned(&repo, "1h"), &ada);
    repo.point("main", first);
    let running = start(strict, &folder);
    running.serves(first).await;

    let plain = unsigned(&repo, "2h");
    repo.point("main", plain);
    running.refuses("the commit is not signed").await;

    let stranger = repo.signed(plain, &eve);
    repo.point("main", stranger);
    running.refuses("not by one of").await;

    // Ada's signature on another commit's content.
    let other = repo.signed(unsigned(&repo, "3h"), &ada);
    let (signature, _) = repo.git.extract_signature(&other, None).unwrap();
    let object = repo.git.find_commit(plain).unwrap();
    let content = [object.raw_header_bytes(), b"\n", object.message_raw_bytes()].concat();
    let content = std::str::from_utf8(&content).unwrap();
    let moved = repo.git.commit_signed(content, signature.as_str().unwrap(), Some("gpgsig")).unwrap();
    repo.point("main", moved);
    running.refuses("not by one of").await;

    let pgp = "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----";
    repo.point("main", repo.git.commit_signed(content, pgp, Some("gpgsig")).unwrap());
    let state = running.refuses("not an SSH signature").await;
    assert_eq!(commit_of(&state), Some(first.to_string()));

    // The operator allows another signer: no restart, and no new commit.
    repo.point("main", stranger);
    running.refuses("not by one of").await;
    std::fs::write(&signers, format!("{ada_line}{eve_line}")).unwrap();
    running.nudge.nudge();
    running.serves(stranger).await;
    running.stop().await;
}

#[tokio::test]
async fn a_key_for_another_purpose_or_past_its_time_does_not_sign_policies() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let (ada, line) = ssh_key(&folder, "ada");
    let (principal, key) = line.split_once(' ').unwrap();
    let signers = folder.0.join("allowed_signers");
    let commit = repo.signed(unsigned(&repo, "1h"), &ada);
    repo.point("main", commit);
    let mut strict = settings(&repo);
    strict.signers = Some(signers.clone());
    for options in ["namespaces=\"file\"", "valid-before=\"20200101\"", "cert-authority"] {
        std::fs::write(&signers, format!("{principal} {options} {key}")).unwrap();
        let running = start(strict.clone(), &folder);
        let state = running.refuses("not by one of").await;
        assert_eq!(commit_of(&state), None, "{options}");
        running.stop().await;
    }
    std::fs::write(&signers, format!("{principal} namespaces=\"git\" {key}")).unwrap();
    let running = start(strict, &folder);
    running.serves(commit).await;
    running.stop().await;
}
