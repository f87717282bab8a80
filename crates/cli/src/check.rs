//! `kiban check`: any outside file or package judged without a server, with the platform's own messages.

use crate::home::now;
use anyhow::{Context as _, Result, bail};
use clap::Args;
use kiban_domain::service_type::ServiceCodes;
use kiban_domain::{InsurerNumber, OfficeNumber, Timestamp};
use kiban_formats::care_plan::Reading;
use kiban_formats::life::{self, Stage};
use kiban_formats::municipal::{self, MunicipalRow, Source, Usages};
use kiban_formats::{Problem, Problems, care_plan, claims, opinion_csv};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
#[command(
    after_help = "終了コード: 0 エラーなし（注意だけのときも）、1 エラーあり、2 調べられなかった（ファイルを読めない、指定の誤り）\n\
    --json の項目: format 形式、verdict 判定（sound 問題なし、rows_refused 誤りのある行・書類だけが不採用、refused 全体を断る）、\
    records 読み取れた記録の数、errors・warnings 件数、\n  \
    problems 指摘（severity error・warning、file、line 行、column 列、item 項目名、found 見つけた値、expected 直し方、rule 規則、message 全体を一文にしたもの）。\n  \
    行・列は 1 から数え、ファイル全体・行全体の指摘では 0 です"
)]
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
    /// パッケージを送る市区町村の保険者番号（6桁）。目録がほかの保険者のものでないかも調べる
    #[arg(long, value_name = "番号")]
    insurer: Option<InsurerNumber>,
    /// ケアプランのサービスコードを確かめる表（タブ区切り。docs/files.md）。設置フォルダーの service_codes.tsv と同じもの
    #[arg(long, value_name = "ファイル")]
    service_codes: Option<PathBuf>,
}

impl Options {
    /// The table of service codes, if one was given.
    fn codes(&self) -> Result<Option<ServiceCodes>> {
        let Some(path) = &self.service_codes else { return Ok(None) };
        let shown = path.display();
        let text = std::fs::read_to_string(path).with_context(|| format!("{shown} を読めません"))?;
        ServiceCodes::parse(&text).map(Some).map_err(|fault| anyhow::anyhow!("{shown} の{fault}"))
    }
}

/// The list of expected problems that lies in the folder of a faulty example: not part of what is sent.
const EXPECTED: &str = "expected.txt";

/// What was judged: the format, the records that could be read, the problems.
type Judged = (String, u64, Vec<Problem>);

/// Exit code when nothing could be judged; wrong arguments have the same.
const NOT_JUDGED: u8 = 2;

pub fn run(options: &Options) -> Result<ExitCode> {
    let judged = match judge(options, now()) {
        Ok(judged) => judged,
        Err(error) => {
            eprintln!("エラー: {error:#}");
            return Ok(ExitCode::from(NOT_JUDGED));
        }
    };
    let (what, read, problems) = &judged;
    if what.is_empty() && problems.is_empty() {
        eprintln!(
            "エラー: 調べられるファイルがありません。フォルダーなら、パッケージやケアプランのファイルがすぐ下にあるものを指定してください"
        );
        return Ok(ExitCode::from(NOT_JUDGED));
    }
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report(&judged))?);
    } else {
        for problem in problems {
            println!("{} {}", if problem.is_error() { "エラー" } else { "注意" }, printable(&problem.message_ja()));
        }
        println!("{what}: 読み取れた記録 {read}件、エラー {errors}件、注意 {}件", problems.len() - errors);
        if is_municipal(what) && errors > 0 {
            println!("{}", words(verdict(&judged)));
        }
    }
    Ok(if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What `--json` prints.
fn report(judged: &Judged) -> Value {
    let (what, read, problems) = judged;
    let errors = problems.iter().filter(|problem| problem.is_error()).count();
    let told = |problem: &Problem| {
        json!({
            "severity": problem.severity,
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "item": problem.item,
            "found": problem.found,
            "expected": problem.expected,
            "rule": problem.rule,
            "message": problem.message_ja(),
        })
    };
    json!({
        "format": what,
        "verdict": verdict(judged),
        "records": read,
        "errors": errors,
        "warnings": problems.len() - errors,
        "problems": problems.iter().map(told).collect::<Vec<_>>(),
    })
}

/// What the platform would do: `sound` takes all, `rows_refused` all but what is named, `refused` nothing. Files of offices are
/// taken whole or not at all.
fn verdict((what, _, problems): &Judged) -> &'static str {
    if !problems.iter().any(Problem::is_error) {
        "sound"
    } else if !is_municipal(what) || problems.iter().any(municipal::refuses_package) {
        "refused"
    } else {
        "rows_refused"
    }
}

fn words(verdict: &str) -> &'static str {
    match verdict {
        "refused" => "このまま送ると、全体が断られます（何も反映されません）",
        _ => "このまま送ると、エラーのある行だけが不採用になります",
    }
}

const PACKAGE: &str = "市区町村パッケージ";
const FILES: &str = "市区町村パッケージのファイル";

fn is_municipal(what: &str) -> bool {
    [PACKAGE, FILES].contains(&what)
}

fn judge(options: &Options, now: Timestamp) -> Result<Judged> {
    let files = Files::of(&options.paths)?;
    let named = |test: fn(&str) -> bool| files.0.iter().any(|(name, _)| test(name));
    let is_municipal = named(|name| municipal::is_manifest(name) || name.starts_with("KGKB_"));
    if !is_municipal && !files.begin_like(municipal::begins_like_rows)? {
        return judge_care_files(&files.read()?, options);
    }
    // Files given one by one are judged for themselves; a folder is a package and needs its manifest.
    let alone = !named(municipal::is_manifest) && options.paths.iter().all(|path| path.is_file());
    let (mut rows, mut usages, mut over) = (0u64, Usages::default(), Problems::new(PACKAGE));
    let mut take = |row: MunicipalRow| {
        rows += 1;
        usages.take(&row).into_iter().for_each(|problem| over.push(problem));
    };
    if alone {
        let mut problems = municipal::check_files(&files, &mut take).context("ファイルを読めません")?;
        problems.extend(over.finish());
        return Ok((FILES.to_owned(), rows, problems));
    }
    let package = municipal::open_source(files).context("パッケージを読めません")?;
    let mut problems = package.check_source(&mut take).context("パッケージを読めません")?;
    problems.extend(over.finish());
    problems.extend(options.insurer.and_then(|sender| package.not_sent_by(sender)));
    problems.extend(package.made_after(now + municipal::AHEAD));
    Ok((PACKAGE.to_owned(), rows, problems))
}

/// Files of offices: each format takes its own, and what is none of them is judged as one set of care plans.
fn judge_care_files(files: &[(String, Vec<u8>)], options: &Options) -> Result<Judged> {
    let (mut formats, mut read, mut problems) = (Vec::new(), 0, Vec::new());
    let mut add = |format: &'static str, records: usize, found: Vec<Problem>| {
        if !formats.contains(&format) {
            formats.push(format);
        }
        read += records as u64;
        problems.extend(found);
    };
    let (mut plans, mut sheets) = (Vec::new(), Vec::new());
    let codes = options.codes()?;
    for (name, bytes) in files {
        if life::is_life(bytes) {
            sheets.push((name, bytes));
        } else if claims::is_claims(bytes) {
            let (file, found) = claims::read(name, bytes);
            add("給付実績・請求", file.map_or(0, |file| file.months.len()), found);
        } else if opinion_csv::is_opinions(bytes) {
            let Some(institution) = options.institution.or_else(|| opinion_csv::institution(bytes)) else {
                bail!("{name} に医療機関コードがありません。--institution で10桁の番号を指定してください");
            };
            let (rows, found) = opinion_csv::read(name, bytes, institution);
            add("医見書 CSV 1.1", rows.len(), found);
        } else if care_plan::is_json(bytes) {
            let (records, found) = match care_plan::from_json(name, bytes) {
                Ok(written) => documents(&written, codes.as_ref()),
                Err(found) => (0, found),
            };
            add("ケアプランの JSON（本プロジェクト独自）", records, found);
        } else {
            plans.push((name.clone(), bytes.clone()));
        }
    }
    if !sheets.is_empty() {
        let stage = if options.draft { Stage::Draft } else { Stage::Final };
        let (read, found) = life::read_set(&sheets, stage);
        add("LIFE", read.iter().map(|(_, file)| file.rows.len()).sum(), found);
    }
    if !plans.is_empty() {
        let (records, found) = documents(&plans, codes.as_ref());
        add("ケアプラン標準仕様 4.1", records, found);
    }
    Ok((formats.join("・"), read, problems))
}

/// How many documents a set of care-plan files holds, and what is wrong with it.
fn documents(files: &[(String, Vec<u8>)], codes: Option<&ServiceCodes>) -> (usize, Vec<Problem>) {
    let (received, problems) = care_plan::read_set_by(files, Reading { codes, ..Reading::default() });
    let records = received.plans.len() + received.slips.len() + received.actuals.len() + received.withdrawals.len();
    let records = records + received.basics.len() + received.preventive_plans.len() + received.facility_plans.len();
    (records, problems)
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

    /// Whether one of them begins with what the test looks for.
    fn begin_like(&self, test: fn(&[u8]) -> bool) -> Result<bool> {
        for (name, path) in &self.0 {
            let mut head = Vec::new();
            let read = File::open(path).and_then(|file| file.take(8 * 1024).read_to_end(&mut head));
            read.with_context(|| format!("{name} を読めません"))?;
            if test(&head) {
                return Ok(true);
            }
        }
        Ok(false)
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
        Options { paths, json: false, draft: false, institution: None, insurer: None, service_codes: None }
    }

    /// A day after every example was made.
    fn today() -> Timestamp {
        "2026-12-01T00:00:00Z".parse().unwrap()
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
            let (_, rows, problems) = judge(&of(vec![folder.clone()]), today()).unwrap();
            let found = told(&problems).into_iter().fold(String::new(), |all, line| all + &line + "\n");
            assert_eq!(format!("{found}rows {rows}\n"), expected, "{}", folder.display());
        }
        for folder in std::fs::read_dir(example("municipal/valid")).unwrap() {
            let folder = folder.unwrap().path();
            let (_, rows, problems) = judge(&of(vec![folder.clone()]), today()).unwrap();
            assert!(rows > 0 && problems.is_empty(), "{}: {problems:?}", folder.display());
        }
    }

    /// `UPDATE_EXPECTED=1` writes the lists anew.
    #[test]
    fn every_faulty_example_of_offices_gives_its_expected_list() {
        for folder in ["claims/bad", "life/bad"] {
            let folder = example(folder);
            let (_, rows, problems) = judge(&of(vec![folder.clone()]), today()).unwrap();
            let found = told(&problems).into_iter().fold(String::new(), |all, line| all + &line + "\n");
            let found = format!("{found}rows {rows}\n");
            if std::env::var_os("UPDATE_EXPECTED").is_some() {
                std::fs::write(folder.join(EXPECTED), &found).unwrap();
            }
            let expected = std::fs::read_to_string(folder.join(EXPECTED)).unwrap_or_default();
            assert_eq!(found, expected, "{}", folder.display());
        }
    }

    #[test]
    fn a_single_file_is_judged_without_a_manifest() {
        let files: Vec<PathBuf> = std::fs::read_dir(example("municipal/valid/small"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("_INSURED_"))
            .collect();
        let (_, rows, problems) = judge(&of(files.clone()), today()).unwrap();
        assert_eq!((files.len(), rows, told(&problems)), (1, 3, Vec::new()));
        let faulty: Vec<PathBuf> = std::fs::read_dir(example("municipal/bad/check-digit"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("_INSURED_"))
            .collect();
        let (_, rows, problems) = judge(&of(faulty.clone()), today()).unwrap();
        assert_eq!((rows, problems.len(), problems[0].rule.as_ref()), (2, 1, "check_digit"));
    }

    #[test]
    fn files_of_offices_are_told_apart_by_what_stands_in_them() {
        let renamed = tempfile::tempdir().unwrap();
        let life = renamed.path().join("出力.csv");
        std::fs::copy(example("life/FORM_0500_2021_1_20261110.csv"), &life).unwrap();
        let (format, rows, problems) = judge(&of(vec![life]), today()).unwrap();
        assert_eq!((format.as_str(), rows > 0, told(&problems)), ("LIFE", true, Vec::new()));

        let without_type = judge(&of(vec![example("life/bad_no_type_line.csv")]), today()).unwrap();
        assert_eq!((without_type.1, without_type.2[0].rule.as_ref()), (0, "data_type"));

        let claims = judge(&of(vec![example("claims/valid")]), today()).unwrap();
        assert_eq!((claims.0.as_str(), claims.1, told(&claims.2)), ("給付実績・請求", 4, Vec::new()));

        let opinion = renamed.path().join("ikensho.csv");
        let document = kiban_domain::physician_opinion::PhysicianOpinion::example(
            kiban_domain::PersonKey {
                insurer: InsurerNumber::parse("131011").unwrap(),
                insured: kiban_domain::InsuredNumber::parse("0000000001").unwrap(),
            },
            OfficeNumber::parse("1319999994").unwrap(),
            jiff::civil::date(2026, 11, 20),
        );
        std::fs::write(&opinion, opinion_csv::write([&document]).unwrap()).unwrap();
        let (format, rows, problems) = judge(&of(vec![opinion]), today()).unwrap();
        assert_eq!((format.as_str(), rows, told(&problems)), ("医見書 CSV 1.1", 1, Vec::new()));
    }

    #[test]
    fn opinions_with_a_head_are_opinions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ikensho.csv");
        let institution = OfficeNumber::parse("1319999994").unwrap();
        let person = kiban_domain::PersonKey {
            insurer: InsurerNumber::parse("131011").unwrap(),
            insured: kiban_domain::InsuredNumber::parse("0000000001").unwrap(),
        };
        let document = kiban_domain::physician_opinion::PhysicianOpinion::example(
            person,
            institution,
            jiff::civil::date(2026, 11, 20),
        );
        let file = [opinion_csv::head(), opinion_csv::write([&document]).unwrap()].concat();
        std::fs::write(&path, file).unwrap();
        let (format, rows, problems) = judge(&of(vec![path]), today()).unwrap();
        assert_eq!((format.as_str(), rows, told(&problems)), ("医見書 CSV 1.1", 1, Vec::new()));
    }

    /// A package like the small one, changed and with its manifest changed as well.
    fn changed(change: impl Fn(&str, String) -> String) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(example("municipal/valid/small")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(folder.path().join(&name), change(&name, text)).unwrap();
        }
        folder
    }

    #[test]
    fn the_manifest_of_another_sender_and_one_from_the_future_are_told_as_the_platform_does() {
        let folder = example("municipal/valid/small");
        let sent_by = |number: &str| Options { insurer: InsurerNumber::parse(number).ok(), ..of(vec![folder.clone()]) };
        assert_eq!(judge(&sent_by("999003"), today()).unwrap().2, []);
        let judged = judge(&sent_by("990010"), today()).unwrap();
        let problem = &judged.2[0];
        assert_eq!((problem.rule.as_ref(), problem.line, problem.column), ("foreign_insurer", 2, 2));
        assert_eq!(problem.found, "999003");
        assert!(problem.expected.contains("990010"), "{problem:?}");
        assert_eq!(verdict(&judged), "refused");
        let early = judge(&of(vec![folder.clone()]), "2026-03-30T23:00:00Z".parse().unwrap()).unwrap();
        assert_eq!((early.2[0].rule.as_ref(), verdict(&early)), ("made_in_future", "refused"));
    }

    #[test]
    fn a_single_file_under_another_name_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let source = example("municipal/valid/small/KGKB_A3B_999003_20260401090000_001.csv");
        for (name, rules) in [
            ("KGKB_A3B_999003_20260401090000_012.csv", &[][..]),
            ("KGKB_A3B_999003_20260401_001.csv", &["file_name"]),
            ("KGKB_A3B_999003_20260401090000.csv", &["file_name"]),
            ("KGKB_a3b_999003_20260401090000_001.csv", &["file_name"]),
            ("KGBK_A3B_999003_20260401090000_001.csv", &["file_name"]),
            ("futan.csv", &["file_name"]),
            ("KGKB_A3B_999003_20260401090000_123456789018.csv", &["individual_number", "file_name"]),
        ] {
            let path = folder.path().join(name);
            std::fs::copy(&source, &path).unwrap();
            let (_, _, problems) = judge(&of(vec![path]), today()).unwrap();
            assert_eq!(problems.iter().map(|p| p.rule.as_ref()).collect::<Vec<_>>(), rules, "{name}");
            assert!(problems.iter().all(|problem| !problem.message_ja().contains("123456789018")));
        }
    }

    #[test]
    fn what_is_printed_for_machines_has_the_whole_sentence_and_a_verdict() {
        let sound = report(&judge(&of(vec![example("municipal/valid/small")]), today()).unwrap());
        assert_eq!((sound["verdict"].as_str(), sound["errors"].as_u64()), (Some("sound"), Some(0)));
        let judged = judge(&of(vec![example("municipal/bad/check-digit")]), today()).unwrap();
        let told = report(&judged);
        assert_eq!((told["verdict"].as_str(), told["errors"].as_u64()), (Some("rows_refused"), Some(1)));
        let problem = told["problems"][0].as_object().unwrap();
        let mut keys: Vec<&str> = problem.keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["column", "expected", "file", "found", "item", "line", "message", "rule", "severity"]);
        assert_eq!(problem["message"], judged.2[0].message_ja());
        assert!(problem["message"].as_str().unwrap().contains("2行目 5列「証記載保険者番号」"), "{problem:?}");
        let whole = report(&judge(&of(vec![example("municipal/bad/wrong-count")]), today()).unwrap());
        assert_eq!(whole["verdict"], "refused");
    }

    #[test]
    fn what_cannot_be_judged_ends_with_its_own_code() {
        let code = run(&of(vec![PathBuf::from("no such file")])).unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(2)));
        let code = run(&of(vec![example("municipal/bad/check-digit")])).unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
        // Digests do not fit: a package that was changed on its way.
        let folder = changed(|name, text| if name.contains("A3C") { text.replace(",650,", ",390,") } else { text });
        let code = run(&of(vec![folder.path().to_owned()])).unwrap();
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
    }

    /// Rules of what only the platform can know (docs/municipality.md 1).
    const OF_THE_PLATFORM: [&str; 12] = [
        "unknown_office",
        "unknown_person",
        "key_exists",
        "superseded",
        "older_history",
        "delete_unknown",
        "displaced",
        "card_insurer",
        "act_in_future",
        "consent_differs",
        "same_opinion",
        "withheld_kept",
    ];

    type Fields = (String, String, u64, u32, String, String, String);

    /// What a platform without anybody in it says of a package, field by field.
    async fn imported(insurer: InsurerNumber, files: Vec<(String, Vec<u8>)>) -> (Vec<Fields>, &'static str) {
        let folder = tempfile::tempdir().unwrap();
        let audit = kiban_store::AuditSettings {
            signing_key: kiban_store::SigningKey::load_or_create(&folder.path().join("anchor.key")).unwrap(),
            anchor_dir: folder.path().join("anchors"),
            clock: std::sync::Arc::new(today),
        };
        let master = kiban_store::MasterKey::load_or_create(&folder.path().join("master.key")).unwrap();
        let address = format!("sqlite:{}", folder.path().join("kiban.db").display());
        let store = kiban_store::Store::open(&address, master, audit).await.unwrap();
        let config = kiban_service::Config::default();
        let platform = kiban_service::Platform::open(store, config, today()).await.unwrap();
        let context = kiban_service::Context::new(today()).unwrap();
        let state = kiban_domain::municipality::StartState::Coordinating;
        platform.set_start(insurer, state, "cli", &context).await.unwrap();
        let result = platform.import_package_locally(insurer, files, &context, &mut |_, _| {}).await.unwrap();
        let fields =
            |p: kiban_service::ReportedProblem| (p.severity, p.file, p.line, p.column, p.item, p.rule, p.message);
        (result.report.problems.into_iter().map(fields).collect(), result.state)
    }

    #[test]
    fn check_says_word_for_word_what_the_platform_says_of_every_example() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (mut folders, mut told) = (0, 0);
        for kind in ["municipal/bad", "municipal/valid"] {
            for folder in std::fs::read_dir(example(kind)).unwrap() {
                let folder = folder.unwrap().path();
                let files = Files::of(std::slice::from_ref(&folder)).unwrap().read().unwrap();
                let manifest = municipal::open(files.clone()).manifest().map(|manifest| manifest.insurer);
                let insurer = match manifest {
                    Some(insurer) if kind == "municipal/valid" => insurer,
                    _ => InsurerNumber::parse("999003").unwrap(),
                };
                let options = Options { insurer: Some(insurer), ..of(vec![folder.clone()]) };
                let judged = judge(&options, today()).unwrap();
                let fields = |p: &Problem| {
                    let severity = if p.is_error() { "error" } else { "warning" };
                    let texts = (severity.to_owned(), p.file.clone(), p.line, p.column);
                    (texts.0, texts.1, texts.2, texts.3, p.item.clone(), p.rule.to_string(), p.message_ja())
                };
                let offline: Vec<Fields> = judged.2.iter().map(fields).collect();
                let (mut online, state) = runtime.block_on(imported(insurer, files));
                online.retain(|problem| !OF_THE_PLATFORM.contains(&problem.5.as_str()));
                assert_eq!(offline, online, "{}", folder.display());
                assert_eq!(verdict(&judged) == "refused", state == "refused", "{}", folder.display());
                assert!(kind == "municipal/bad" || offline.is_empty(), "{}", folder.display());
                (folders, told) = (folders + 1, told + offline.len());
            }
        }
        assert!(folders > 40 && told > 50, "{folders} folders, {told} problems");
    }
}
