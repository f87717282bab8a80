//! `kiban convert`: the files of ケアプラン標準仕様 4.1 as JSON of this project (not 5.0), and back, without a server.

use crate::check::{Files, printable};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use kiban_formats::Problem;
use kiban_formats::care_plan::{from_json, is_json, to_json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// CSV のファイル・フォルダー、または JSON のファイル一つ
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// 書き出し先: CSV からは JSON のファイル、JSON からはフォルダー。ある名前には書きません
    #[arg(long)]
    out: PathBuf,
}

pub fn run(options: &Options) -> Result<ExitCode> {
    let files = Files::of(&options.paths)?.read()?;
    let result = match &files[..] {
        [(name, bytes)] if is_json(bytes) => from_json(name, bytes).map(|files| (files, Vec::new())),
        files => to_json(files).map(|(json, problems)| (vec![(String::new(), json.into_bytes())], problems)),
    };
    let (written, problems) = match result {
        Ok(result) => result,
        Err(problems) => {
            tell(&problems);
            return Ok(ExitCode::FAILURE);
        }
    };
    tell(&problems);
    for (name, bytes) in &written {
        let path = if name.is_empty() { options.out.clone() } else { options.out.join(name) };
        write_new(&path, bytes)?;
    }
    println!("{} に書き出しました（{}ファイル）", options.out.display(), written.len());
    Ok(ExitCode::SUCCESS)
}

fn tell(problems: &[Problem]) {
    for problem in problems {
        eprintln!("{} {}", if problem.is_error() { "エラー" } else { "注意" }, printable(&problem.message_ja()));
    }
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    if path.exists() {
        bail!("{} がすでにあります。別の名前にしてください", path.display());
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("{} を作れません", folder.display()))?;
    }
    std::fs::write(path, bytes).with_context(|| format!("{} に書けません", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_json_and_the_same_files_again_and_nothing_is_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/care-plan/valid/preventive");
        let (json, back) = (place.path().join("plan.json"), place.path().join("back"));
        let convert = |from: &Path, out: &Path| run(&Options { paths: vec![from.to_owned()], out: out.to_owned() });
        assert_eq!(convert(&example, &json).unwrap(), ExitCode::SUCCESS);
        assert_eq!(convert(&json, &back).unwrap(), ExitCode::SUCCESS);
        let mut files = 0;
        for entry in std::fs::read_dir(&example).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(back.join(path.file_name().unwrap())).unwrap());
            files += 1;
        }
        assert_eq!(files, 6);
        assert!(convert(&example, &json).unwrap_err().to_string().contains("すでにあります"));
        let faulty = example.join("../../bad/required-item-missing");
        assert_eq!(convert(&faulty, &place.path().join("faulty.json")).unwrap(), ExitCode::FAILURE);
        assert!(!place.path().join("faulty.json").exists());
    }
}
