//! `kiban import`: a municipality's package from a folder on the platform's own machine; `kiban sim`: a synthetic city
//! as such a folder.

use crate::check::{Files, printable};
use crate::home::{Home, explain, now};
use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use kiban_domain::{Date, InsurerNumber, dates};
use kiban_formats::Problem;
use kiban_service::{Context, Difference, IntakeResult, MissingRow, ReportedProblem, Work};
use kiban_sim::files::Stopped;
use kiban_sim::{CitySpec, write_package_streaming};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct Options {
    /// 設置フォルダー
    #[arg(long, default_value = "kiban-home")]
    home: PathBuf,
    /// データベース（省略時は設置フォルダーの中）
    #[arg(long)]
    db: Option<String>,
    /// 保険者番号
    #[arg(long)]
    insurer: String,
    /// 結果ファイル（CSV）の書き出し先。--dry-run では、基盤と異なるすべての行も並べます
    #[arg(long)]
    result: Option<PathBuf>,
    /// 試すだけにします。何が変わるかを示し、何も反映しません
    #[arg(long)]
    dry_run: bool,
    /// --dry-run のとき、全件のパッケージとみなし、基盤にあってパッケージにない記録も調べます（全部は結果ファイルに）
    #[arg(long, requires = "dry_run")]
    full: bool,
    /// パッケージのフォルダー（MANIFEST.csv を含む）
    package: PathBuf,
}

#[derive(Args)]
pub struct SimOptions {
    /// 書き出すフォルダー
    out: PathBuf,
    /// 人数
    #[arg(long, default_value_t = 2000)]
    people: u32,
    /// 乱数の種
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub async fn run(options: Options) -> Result<ExitCode> {
    let insurer =
        InsurerNumber::parse(&options.insurer).map_err(|error| anyhow!("保険者番号: {}", error.message_ja()))?;
    if options.dry_run {
        return dry_run(&options, insurer).await;
    }
    let files = folder_files(&options.package)?;
    let platform = Home::open(&options.home, options.db.as_deref())?.platform().await?;
    let mut upload = platform.begin_package_locally(insurer, &Context::new(now())?).await.map_err(explain)?;
    let bar = bytes_bar("受付");
    bar.set_length(files.iter().map(|(_, _, bytes)| bytes).sum());
    for (name, path, _) in &files {
        upload.file(name).await.map_err(explain)?;
        let mut file = std::fs::File::open(path).with_context(|| format!("{} を開けません", path.display()))?;
        let mut piece = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut piece).with_context(|| format!("{} を読めません", path.display()))?;
            if read == 0 {
                break;
            }
            upload.write(&piece[..read]).await.map_err(explain)?;
            bar.inc(read as u64);
        }
    }
    let received = upload.finish().await.map_err(explain)?;
    bar.finish_and_clear();
    let bar = progress_bar("取込み");
    let mut progress = |done, total| {
        if bar.length() != Some(total) {
            bar.set_length(total);
            // What was applied before a cut says nothing about the speed of now.
            bar.set_position(done);
            bar.reset_eta();
        }
        bar.set_position(done);
    };
    let mut work = Work::new(&now).heard_by(&mut progress);
    let result = platform.close_package(&received, &mut work).await.map_err(explain)?;
    bar.finish_and_clear();
    print_result(&result);
    if let Some(path) = &options.result {
        std::fs::write(path, result.csv()).with_context(|| format!("{} に書けません", path.display()))?;
    }
    platform.store().clone().close().await?;
    Ok(if result.state == "applied" && result.report.counts.refused == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Tries the package: the same problems as for real, and what would change.
async fn dry_run(options: &Options, insurer: InsurerNumber) -> Result<ExitCode> {
    let files = Files::of(std::slice::from_ref(&options.package))?;
    let platform = Home::open(&options.home, options.db.as_deref())?.platform().await?;
    let mut lines = String::new();
    let mut note = |row: Difference<'_>| {
        if options.result.is_some() {
            lines.push_str(&row.line());
        }
    };
    let context = Context::new(now())?;
    let dry = platform.dry_run_locally(insurer, files, options.full, &context, &mut note).await.map_err(explain)?;
    println!("試しました（何も反映していません）");
    print_base_date(dry.base_date);
    match dry.state {
        "would_apply" => println!("このパッケージは反映されます"),
        _ => println!("このパッケージは取り込めません"),
    }
    for (kind, changes) in &dry.changes {
        println!(
            "{kind}: 新規 {}、変更 {}、削除 {}、変更なし {}、不採用 {}",
            changes.new, changes.changed, changes.deleted, changes.unchanged, changes.refused
        );
    }
    print_problems(&dry.report.problems);
    if let Some(missing) = &dry.missing {
        print_missing(missing.total, &missing.rows);
    }
    if let Some(path) = &options.result {
        std::fs::write(path, dry.csv(&lines)).with_context(|| format!("{} に書けません", path.display()))?;
    }
    platform.store().clone().close().await?;
    let is_good = dry.state == "would_apply" && dry.report.counts.refused == 0;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Name, path and bytes of each file of a folder (not of folders inside it), by name.
fn folder_files(dir: &Path) -> Result<Vec<(String, PathBuf, u64)>> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(dir).with_context(|| format!("フォルダー {} を開けません", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((name, entry.path(), entry.metadata()?.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// A bar with rows, rate and remaining time.
pub fn progress_bar(name: &str) -> ProgressBar {
    bar(name, "{prefix} {bar:30} {pos}/{len} 行 {per_sec} 残り {eta}")
}

/// The same of bytes, in MB.
fn bytes_bar(name: &str) -> ProgressBar {
    bar(name, "{prefix} {bar:30} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} 残り {eta}")
}

fn bar(name: &str, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    let bar = ProgressBar::new(0).with_prefix(name.to_owned());
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}

/// The receipt as people read it.
pub fn print_result(result: &IntakeResult) {
    let counts = &result.report.counts;
    let state = match result.state {
        "applied" => "反映しました",
        "refused" => "取り込めませんでした（何も反映していません）",
        "failed" => "処理が続けて失敗したため、後回しにしました（kiban operate retry でやり直せます）",
        _ => "受け付けました",
    };
    println!("受付番号 {} — {state}{}", result.receipt, if result.repeated { "（同じ内容を受付済み）" } else { "" });
    print_base_date(result.base_date);
    println!(
        "読んだ行 {}、反映 {}、変更なし {}、取込不可 {}",
        counts.read, counts.applied, counts.unchanged, counts.refused
    );
    print_problems(&result.report.problems);
    if let Some(missing) = &result.missing {
        print_missing(missing.total, &missing.rows);
    }
}

/// The day as of which the package holds, once its manifest was read.
fn print_base_date(base_date: Option<Date>) {
    if let Some(day) = base_date {
        println!("基準日 {day}");
    }
}

/// What the platform holds and a package of everything lacks: how many, and the first of them.
fn print_missing(total: u64, rows: &[MissingRow]) {
    println!("基盤にあってパッケージにない記録 {total}件");
    for row in rows.iter().take(30) {
        println!("  {} {} {}", row.insured_number, row.kind, printable(&row.key));
    }
}

/// The first of them, errors before warnings.
fn print_problems(all: &[ReportedProblem]) {
    let mut problems: Vec<_> = all.iter().collect();
    problems.sort_by_key(|problem| problem.severity != "error");
    for problem in problems.iter().take(30) {
        println!("  {} {}", if problem.severity == "error" { "エラー" } else { "注意" }, printable(&problem.message));
    }
    if all.len() > 30 {
        println!("  ほか {}件", all.len() - 30);
    }
}

pub fn write_city(options: &SimOptions) -> Result<ExitCode> {
    let spec = CitySpec::sample(options.seed, options.people, dates::day_in_japan(now()))
        .map_err(|error| anyhow!(error.message_ja()))?;
    std::fs::create_dir_all(&options.out)?;
    let mut files = 0;
    let mut write = |name: &str, bytes: &[u8]| {
        files += 1;
        std::fs::write(options.out.join(name), bytes)
    };
    write_package_streaming(&spec, &mut write).map_err(|stopped| match stopped {
        Stopped::Sink(error) => anyhow!(error),
        Stopped::Unwritable(problems) => anyhow!("{}", problems.first().map(Problem::message_ja).unwrap_or_default()),
    })?;
    println!(
        "{}（保険者番号 {}）{}人分の {}ファイルを {} に書き出しました",
        spec.name,
        spec.insurer,
        spec.people(),
        files,
        options.out.display()
    );
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::{ProgressDrawTarget, TermLike};
    use std::io;
    use std::sync::{Arc, Mutex};

    /// A terminal that remembers what was written.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }

        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a bar shows when this much of so much is done.
    fn shown(bar: &ProgressBar, done: u64, of: u64) -> String {
        let screen = Screen::default();
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        bar.set_length(of);
        bar.set_position(done);
        bar.tick();
        screen.0.lock().unwrap().clone()
    }

    #[test]
    fn what_arrives_is_counted_in_megabytes_and_what_is_applied_in_rows() {
        let arriving = shown(&bytes_bar("受付"), 1_500_000, 420_000_000);
        assert!(arriving.contains("受付") && arriving.contains("1.50 MB/420.00 MB"), "{arriving}");
        assert!(arriving.contains("残り") && !arriving.contains('行'), "{arriving}");
        let applying = shown(&progress_bar("取込み"), 1_500, 420_000);
        assert!(applying.contains("取込み") && applying.contains("1500/420000 行"), "{applying}");
        assert!(applying.contains("残り") && !applying.contains("MB"), "{applying}");
    }
}
