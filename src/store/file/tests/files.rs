//! Real files: whose they are, and what is said of those that cannot be used.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use redb::{Database, TableDefinition};
use tempfile::TempDir;

use super::*;
use crate::store::file::layout::{FACT_FORMAT, FACTS, FORMAT};

fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sessions.db");
    (folder, path)
}

fn refusal(path: &Path) -> String {
    let before = fs::read(path).ok();
    let problem = File::open(path, &settings()).err().expect("a refusal");
    assert_eq!(fs::read(path).ok(), before, "the file was changed");
    assert!(problem.starts_with(&path.display().to_string()), "{problem}");
    problem
}

#[tokio::test]
async fn a_new_file_is_for_its_user_only_and_keeps_what_it_is_given() {
    let (_folder, path) = folder();
    let file = File::open(&path, &settings()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    put(&file, 1, HOUR).await;
    file.close().await;
    assert_eq!(version(&File::open(&path, &settings()).unwrap(), 1), Some(1));
}

#[tokio::test]
async fn a_file_that_another_process_has_open_is_refused_until_it_is_closed() {
    let (_folder, path) = folder();
    let first = File::open(&path, &settings()).unwrap();
    let problem = File::open(&path, &settings()).err().expect("a refusal");
    assert!(problem.contains("another process has the file open") && problem.contains("redis://"), "{problem}");
    put(&first, 1, HOUR).await;
    first.close().await;
    assert_eq!(version(&File::open(&path, &settings()).unwrap(), 1), Some(1));
}

#[test]
fn what_is_not_ours_is_refused_and_left_as_it_is() {
    for content in [&b"hello"[..], &[7; 100_000], b"SQLite format 3\0 and more", &[b'\n'; 9]] {
        let (_folder, path) = folder();
        fs::write(&path, content).unwrap();
        assert!(refusal(&path).contains("not one of Cloakroom's"));
    }
}

#[test]
fn a_database_of_somebody_else_is_refused() {
    let (_folder, path) = folder();
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(TableDefinition::<u64, u64>::new("theirs")).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    assert!(File::open(&path, &settings()).err().expect("a refusal").contains("not one of Cloakroom's"));
    let database = Database::open(&path).unwrap();
    let tables = database.begin_write().unwrap().list_tables().unwrap().count();
    assert_eq!(tables, 1, "ours were made beside theirs");
}

#[tokio::test]
async fn a_format_of_a_later_version_is_refused() {
    let (_folder, path) = folder();
    File::open(&path, &settings()).unwrap().close().await;
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(FACTS).unwrap().insert(FACT_FORMAT, FORMAT + 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let problem = File::open(&path, &settings()).err().expect("a refusal");
    assert!(problem.contains(&format!("format {}", FORMAT + 1)), "{problem}");
}

#[tokio::test]
async fn a_file_whose_making_was_cut_short_is_made_anew() {
    for length in [1, 9, 4096, 1_000_000] {
        let (_folder, path) = folder();
        fs::write(&path, vec![0; length]).unwrap();
        let file = File::open(&path, &settings()).unwrap();
        put(&file, 1, HOUR).await;
        file.close().await;
    }
}

#[test]
fn what_the_system_refuses_is_said_in_its_words() {
    let (folder, _) = folder();
    assert!(refusal(&folder.path().join("missing/sessions.db")).contains("No such file or directory"));
    let problem = File::open(folder.path(), &settings()).err().expect("a refusal");
    assert!(problem.contains("Is a directory"), "{problem}");
}
