//! `kiban check`: any outside file or package judged without a server, with the platform's own messages.

use anyhow::{Context as _, Result, bail};
use clap::Args;
use kiban_domain::OfficeNumber;
use kiban_formats::life::{self, Stage};
use kiban_formats::municipal::{self, Source};
use kiban_formats::{Problem, care_plan, opinion_csv};
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
    /// LIFE のファイルを一時保存のものとして調べる（確定のときに求められる項目を尋ねない）
    #[arg(long)]
    draft: bool,
    /// 医見書 CSV 1.1 を出す医療機関コード（10桁。ファイルに書かれていないとき）
    #[arg(long, value_name = "番号")]
    institution: Option<OfficeNumber>,
}

/// The list of expected problems that lies in the folder of a faulty example: not part of what is sent.
const EXPECTED: &str = "expected.txt";

/// What was judged: the format, the records that could be read, the problems.
type Judged = (String, u64, Vec<Problem>);

pub fn run(options: &Options) -> Result<ExitCode> {
    let (what, read, problems) = judge(options)?;
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

fn judge(options: &Options) -> Result<Judged> {
    let files = Files::of(&options.paths)?;
    let named = |test: fn(&str) -> bool| files.0.iter().any(|(name, _)| test(name));
    if !named(|name| municipal::is_manifest(name) || name.starts_with("KGKB_")) {
        return judge_care_files(&files.read()?, options);
    }
    // Files given one by one are judged for themselves; a folder is a package and needs its manifest.
    let alone = !named(municipal::is_manifest) && options.paths.iter().all(|path| path.is_file());
    let mut rows = 0u64;
    if alone {
        let problems = municipal::check_files(&files, &mut |_| rows += 1).context("ファイルを読めません")?;
        return Ok(("市区町村パッケージのファイル".to_owned(), rows, problems));
    }
    let package = municipal::open_source(files).context("パッケージを読めません")?;
    let problems = package.check_source(&mut |_| rows += 1).context("パッケージを読めません")?;
    Ok(("市区町村パッケージ".to_owned(), rows, problems))
}

/// Files of offices: each format takes its own, and what is neither LIFE nor 医見書 is judged as one set of care plans.
fn judge_care_files(files: &[(String, Vec<u8>)], options: &Options) -> Result<Judged> {
    let (mut formats, mut read, mut problems) = (Vec::new(), 0, Vec::new());
    let mut add = |format: &'static str, records: usize, found: Vec<Problem>| {
        if !formats.contains(&format) {
            formats.push(format);
        }
        read += records as u64;
        problems.extend(found);
    };
    let mut plans = Vec::new();
    for (name, bytes) in files {
        if life::is_life(bytes) {
            let stage = if options.draft { Stage::Draft } else { Stage::Final };
            let (file, found) = life::read(name, bytes, stage);
            add("LIFE", file.map_or(0, |file| file.rows.len()), found);
        } else if opinion_csv::is_opinions(bytes) {
            let Some(institution) = options.institution.or_else(|| opinion_csv::institution(bytes)) else {
                bail!("{name} に医療機関コードがありません。--institution で10桁の番号を指定してください");
            };
            let (rows, found) = opinion_csv::read(name, bytes, institution);
            add("医見書 CSV 1.1", rows.len(), found);
        } else {
            plans.push((name.clone(), bytes.clone()));
        }
    }
    if !plans.is_empty() {
        let (received, found) = care_plan::read_set(&plans);
        let records = received.plans.len() + received.slips.len() + received.actuals.len() + received.withdrawals.len();
        let records = records + received.basics.len() + received.preventive_plans.len() + received.facility_plans.len();
        add("ケアプラン標準仕様 4.1", records, found);
    }
    Ok((formats.join("・"), read, problems))
}

/// Files on disk, read piece by piece.
#[derive(Clone)]
pub struct Files(Vec<(String, PathBuf)>);

impl Files {
    /// Files, and those of folders.
    pub fn of(paths: &[PathBuf]) -> Result<Self> {
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

    /// All of them in memory.
    pub fn read(&self) -> Result<Vec<(String, Vec<u8>)>> {
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

    fn of(paths: Vec<PathBuf>) -> Options {
        Options { paths, json: false, draft: false, institution: None }
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
            let (_, rows, problems) = judge(&of(vec![folder.clone()])).unwrap();
            let found = told(&problems).into_iter().fold(String::new(), |all, line| all + &line + "\n");
            assert_eq!(format!("{found}rows {rows}\n"), expected, "{}", folder.display());
        }
        for folder in std::fs::read_dir(example("municipal/valid")).unwrap() {
            let folder = folder.unwrap().path();
            let (_, rows, problems) = judge(&of(vec![folder.clone()])).unwrap();
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
        let (_, rows, problems) = judge(&of(files.clone())).unwrap();
        assert_eq!((files.len(), rows, told(&problems)), (1, 3, Vec::new()));
        let faulty: Vec<PathBuf> = std::fs::read_dir(example("municipal/bad/check-digit"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("_INSURED_"))
            .collect();
        let (_, rows, problems) = judge(&of(faulty.clone())).unwrap();
        assert_eq!((rows, problems.len(), problems[0].rule.as_ref()), (2, 1, "check_digit"));
    }

    #[test]
    fn files_of_offices_are_told_apart_by_what_stands_in_them() {
        let renamed = tempfile::tempdir().unwrap();
        let life = renamed.path().join("出力.csv");
        std::fs::copy(example("life/FORM_0500_2021_1_20261110.csv"), &life).unwrap();
        let (format, rows, problems) = judge(&of(vec![life])).unwrap();
        assert_eq!((format.as_str(), rows > 0, told(&problems)), ("LIFE", true, Vec::new()));

        let without_type = judge(&of(vec![example("life/bad_no_type_line.csv")])).unwrap();
        assert_eq!((without_type.1, without_type.2[0].rule.as_ref()), (0, "data_type"));

        let opinion = renamed.path().join("ikensho.csv");
        let document = kiban_domain::physician_opinion::PhysicianOpinion::example(
            kiban_domain::PersonKey {
                insurer: kiban_domain::InsurerNumber::parse("131011").unwrap(),
                insured: kiban_domain::InsuredNumber::parse("0000000001").unwrap(),
            },
            OfficeNumber::parse("1319999994").unwrap(),
            jiff::civil::date(2026, 11, 20),
        );
        std::fs::write(&opinion, opinion_csv::write([&document]).unwrap()).unwrap();
        let (format, rows, problems) = judge(&of(vec![opinion])).unwrap();
        assert_eq!((format.as_str(), rows, told(&problems)), ("医見書 CSV 1.1", 1, Vec::new()));
    }
}
