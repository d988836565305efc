//! Trees and commits that try to make the gateway read, run or believe something else.

use super::repo::{FILE, Folder, Repo, commit_of, settings, start, text};

#[tokio::test]
async fn trees_with_links_modules_and_strange_names_are_refused() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let good = repo.policy(&text("1h"));
    let running = start(settings(&repo), &folder);
    running.serves(good).await;
    let (policy, huge) = (text("1h"), vec![b'x'; (1 << 20) + 1]);
    let deep = format!("{}x.kdl", "d/".repeat(40));
    let cases: [(&str, i32, &[u8], &str); 8] = [
        ("teams/link.kdl", 0o120_000, b"/etc/passwd", "`teams/link.kdl` is a symbolic link"),
        ("link", 0o120_000, b"../../../../etc", "`link` is a symbolic link"),
        ("vendored", 0o160_000, b"", "`vendored` is a submodule"),
        ("big.bin", FILE, &huge, "`big.bin` is larger than 1 MiB"),
        (&deep, FILE, b"x", "nested more than 32 deep"),
        ("a\\..\\b.kdl", FILE, b"x", "no plain UTF-8 file name"),
        ("c:b.kdl", FILE, b"x", "no plain UTF-8 file name"),
        ("loose.kdl", FILE, b"x", "error[P0106]"),
    ];
    for (path, mode, content, says) in cases {
        repo.commit(&[("policy.kdl", FILE, policy.as_bytes()), (path, mode, content)]);
        let state = running.refuses(says).await;
        assert_eq!(commit_of(&state), Some(good.to_string()));
    }
    // policy.kdl itself as a link, and as a folder.
    repo.commit(&[("policy.kdl", 0o120_000, b"other.kdl"), ("other.kdl", FILE, policy.as_bytes())]);
    running.refuses("`policy.kdl` is a symbolic link").await;
    repo.commit(&[("policy.kdl/x.kdl", FILE, policy.as_bytes())]);
    running.refuses("error[").await;
    let state = running.policy.state();
    assert_eq!(commit_of(&state), Some(good.to_string()));
    running.stop().await;
}

#[tokio::test]
async fn only_the_named_folder_is_read_and_the_forges_folders_are_not() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let policy = text("1h");
    let commit = repo.commit(&[
        ("link", 0o120_000, b"/etc/passwd"),
        ("policy/access/policy.kdl", FILE, policy.as_bytes()),
        ("policy/access/.github/workflow.kdl", FILE, b"not policy"),
        ("policy/access/README.md", FILE, b"# Access"),
        ("other/policy.kdl", FILE, b"nonsense"),
    ]);
    let mut inner = settings(&repo);
    inner.folder = "policy/access".to_owned();
    let running = start(inner.clone(), &folder);
    running.serves(commit).await;
    running.stop().await;
    for (name, says) in [("policy/none", "no folder `policy/none`"), ("link", "no folder `link`")] {
        inner.folder = name.to_owned();
        let running = start(inner.clone(), &folder);
        running.refuses(says).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn the_work_tree_is_never_read() {
    let folder = Folder::new();
    let path = folder.0.join("clone");
    let git = git2::Repository::init_opts(
        &path,
        git2::RepositoryInitOptions::new().initial_head("main").external_template(false),
    )
    .unwrap();
    let repo = Repo { path: path.clone(), git };
    let commit = repo.policy(&text("1h"));
    std::fs::write(path.join("policy.kdl"), text("8h")).unwrap();
    let running = start(settings(&repo), &folder);
    let state = running.serves(commit).await;
    assert_eq!(state.active.unwrap().program.grant("db").unwrap().lifetime.to_string(), "1h");
    running.stop().await;
}

#[tokio::test]
async fn branches_that_are_not_what_they_seem_are_refused() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let good = repo.policy(&text("1h"));
    let running = start(settings(&repo), &folder);
    running.serves(good).await;
    let other = repo.object(&[good], repo.tree(&[("policy.kdl", FILE, text("8h").as_bytes())]), "other");
    repo.point("other", other);
    repo.git.reference_symbolic("refs/heads/main", "refs/heads/other", true, "swap").unwrap();
    running.refuses("only points to another branch").await;
    repo.git.find_reference("refs/heads/main").unwrap().delete().unwrap();
    running.refuses("no branch `main`").await;
    // A reference to a blob, and to a commit that is gone.
    let blob = repo.git.blob(b"not a commit").unwrap();
    std::fs::write(repo.path.join("refs/heads/main"), format!("{blob}\n")).unwrap();
    running.refuses("is no commit").await;
    std::fs::write(repo.path.join("refs/heads/main"), format!("{}\n", "ab".repeat(20))).unwrap();
    running.refuses("cannot be read").await;
    assert_eq!(commit_of(&running.policy.state()), Some(good.to_string()));
    repo.point("main", good);
    running.serves(good).await;
    running.stop().await;
}

#[tokio::test]
async fn damaged_objects_are_refused() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let good = repo.policy(&text("1h"));
    let running = start(settings(&repo), &folder);
    running.serves(good).await;
    // The same blob name with other content: libgit2 checks what it reads.
    let widened = repo.git.blob(text("8h").as_bytes()).unwrap();
    let genuine = repo.git.blob(text("2h").as_bytes()).unwrap();
    let mut builder = repo.git.treebuilder(None).unwrap();
    builder.insert("policy.kdl", genuine, FILE).unwrap();
    let tree = builder.write().unwrap();
    assert!(repo.kind(widened).is_some());
    let (from, to) = (repo.object_file(widened), repo.object_file(genuine));
    std::fs::remove_file(&to).unwrap();
    std::fs::copy(from, to).unwrap();
    let commit = repo.object(&[good], tree, "swapped");
    repo.point("main", commit);
    let state = running.refuses("cannot read policy.kdl").await;
    assert_eq!(commit_of(&state), Some(good.to_string()));
    running.stop().await;
}
