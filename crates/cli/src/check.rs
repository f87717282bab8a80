//! `kiban check`: any outside file or package judged without a server, with the platform's own messages.

use anyhow::{Context as _, Result};
use clap::Args;
use kiban_formats::municipal::{self, Source};
use kiban_formats::{Problem, care_plan};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// ファイル、またはパッケージのフォルダー
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// 結果を JSON で
    #[arg(long)]
    json: bool,
}

/// The list of expected problems that lies in the folder of a faulty example: not part of what is sent.
const EXPECTED: &str = "expected.txt";

/// What was judged: the format, the records that could be read, the problems.
type Judged = (&'static str, u64, Vec<Problem>);

pub fn run(options: &Options) -> Result<ExitCode> {
    let (what, read, problems) = judge(&options.paths)?;
    if options.json {
        let report = serde_json::json!({ "format": what, "records": read, "problems": problems });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        for problem in &problems {
            println!("{} {}", if problem.is_error() { "エラー" } else { "注意" }, printable(&problem.message_ja()));
        }
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        println!("{what}: 読み取れた記録 {read}件、エラー {errors}件、注意 {}件", problems.len() - errors);
    }
    Ok(if problems.iter().any(Problem::is_error) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn judge(paths: &[PathBuf]) -> Result<Judged> {
    let files = Files::of(paths)?;
    let named = |test: fn(&str) -> bool| files.0.iter().any(|(name, _)| test(name));
    if !named(|name| municipal::is_manifest(name) || name.starts_with("KGKB_")) {
        let (received, problems) = care_plan::read_set(&files.read()?);
        let read = received.plans.len() + received.slips.len() + received.actuals.len() + received.withdrawals.len();
        return Ok(("ケアプラン標準仕様 4.1", read as u64, problems));
    }
    // Files given one by one are judged for themselves; a folder is a package and needs its manifest.
    let alone = !named(municipal::is_manifest) && paths.iter().all(|path| path.is_file());
    let mut rows = 0u64;
    if alone {
        let problems = municipal::check_files(&files, &mut |_| rows += 1).context("ファイルを読めません")?;
        return Ok(("市区町村パッケージのファイル", rows, problems));
    }
    let package = municipal::open_source(files).context("パッケージを読めません")?;
    let problems = package.check_source(&mut |_| rows += 1).context("パッケージを読めません")?;
    Ok(("市区町村パッケージ", rows, problems))
}

/// Files on disk, read piece by piece.
struct Files(Vec<(String, PathBuf)>);

impl Files {
    fn of(paths: &[PathBuf]) -> Result<Self> {
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut files = Vec::new();
        for path in paths {
            if !path.is_dir() {
                files.push((name(path), path.clone()));
                continue;
            }
            let entries =
                std::fs::read_dir(path).with_context(|| format!("フォルダー {} を開けません", path.display()))?;
            let mut inside = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
            inside.retain(|path| path.is_file() && name(path) != EXPECTED);
            inside.sort();
            files.extend(inside.into_iter().map(|path| (name(&path), path)));
        }
        Ok(Self(files))
    }

    fn read(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let read = |(name, path): &(String, PathBuf)| {
            let bytes = std::fs::read(path).with_context(|| format!("{} を読めません", path.display()))?;
            Ok((name.clone(), bytes))
        };
        self.0.iter().map(read).collect()
    }
}

impl Source for Files {
    fn files(&self) -> usize {
        self.0.len()
    }

    fn name(&self, file: usize) -> &str {
        self.0.get(file).map_or("", |(name, _)| name)
    }

    fn open(&self, file: usize) -> io::Result<impl Read> {
        let (_, path) = self.0.get(file).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        File::open(path)
    }
}

/// Control characters must not reach a terminal (T-25).
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { format!("\\u{{{:x}}}", u32::from(c)) } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(path)
    }

    /// The problems as `expected.txt` writes them.
    fn told(problems: &[Problem]) -> Vec<String> {
        let severity = |problem: &Problem| if problem.is_error() { "error" } else { "warning" };
        problems.iter().map(|p| format!("{} {} {}", severity(p), p.rule, p.message_ja())).collect()
    }

    #[test]
    fn every_faulty_municipal_example_gives_its_expected_list_and_every_valid_one_nothing() {
        for folder in std::fs::read_dir(example("municipal/bad")).unwrap() {
            let folder = folder.unwrap().path();
            let expected = std::fs::read_to_string(folder.join(EXPECTED)).unwrap();
            let (_, rows, problems) = judge(std::slice::from_ref(&folder)).unwrap();
            let found = told(&problems).into_iter().fold(String::new(), |all, line| all + &line + "\n");
            assert_eq!(format!("{found}rows {rows}\n"), expected, "{}", folder.display());
        }
        for folder in std::fs::read_dir(example("municipal/valid")).unwrap() {
            let folder = folder.unwrap().path();
            let (_, rows, problems) = judge(std::slice::from_ref(&folder)).unwrap();
            assert!(rows > 0 && problems.is_empty(), "{}: {problems:?}", folder.display());
        }
    }

    #[test]
    fn a_single_file_is_judged_without_a_manifest() {
        let files: Vec<PathBuf> = std::fs::read_dir(example("municipal/valid/small"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("_INSURED_"))
            .collect();
        let (_, rows, problems) = judge(&files).unwrap();
        assert_eq!((files.len(), rows, told(&problems)), (1, 3, Vec::new()));
        let faulty: Vec<PathBuf> = std::fs::read_dir(example("municipal/bad/check-digit"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("_INSURED_"))
            .collect();
        let (_, rows, problems) = judge(&faulty).unwrap();
        assert_eq!((rows, problems.len(), problems[0].rule.as_ref()), (2, 1, "check_digit"));
    }
}
