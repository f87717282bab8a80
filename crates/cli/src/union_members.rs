//! `kiban operate union`: the members of 広域連合, one by one or from a file.

use crate::check::printable;
use crate::home::explain;
use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use kiban_domain::dates::{Period, parse_typed, wareki};
use kiban_domain::{Date, InsurerNumber, municipality};
use kiban_formats::Problem;
use kiban_formats::union_members::{self, MemberRow};
use kiban_service::{Context, Platform};
use kiban_store::StoredMember;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Command {
    /// 構成市町村を登録します（同じ加入日の登録があれば置き換えます。脱退したときは --to を付けて登録し直します）
    Add {
        #[command(flatten)]
        which: Which,
        /// 構成市町村だった最後の日。省略すると、いまも構成市町村
        #[arg(long)]
        to: Option<String>,
    },
    /// 登録された構成市町村を、import で読める CSV で表示します
    List,
    /// 誤って登録した構成市町村を消します
    Remove {
        #[command(flatten)]
        which: Which,
    },
    /// CSV または TSV（見出し: 広域連合の保険者番号,構成市町村の保険者番号,加入日,最後の日）をまとめて登録します。
    /// 一つでも誤りがあれば何も登録しません
    Import {
        /// ファイル
        file: PathBuf,
    },
}

#[derive(Args)]
pub struct Which {
    /// 広域連合の保険者番号（6桁）
    union: String,
    /// 構成市町村の保険者番号（6桁。証に印字された番号）
    member: String,
    /// 加入日（例 2018-04-01、平成30年4月1日）
    #[arg(long)]
    from: String,
}

/// What is to be done, once everything typed was read.
pub enum Act {
    Add(StoredMember),
    List,
    Remove(InsurerNumber, InsurerNumber, Date),
    Import(String, Vec<MemberRow>),
}

/// Reads what was typed; a file that cannot be used is told line by line.
pub fn read(command: Command) -> Result<Act> {
    Ok(match command {
        Command::Add { which, to } => {
            let (union, member, from) = which.read()?;
            let to = to.map(|text| day("--to", &text)).transpose()?;
            let period = Period::new(from, to).map_err(|error| anyhow!("--to: {}", error.message_ja()))?;
            Act::Add(StoredMember { union, member, period })
        }
        Command::List => Act::List,
        Command::Remove { which } => {
            let (union, member, from) = which.read()?;
            Act::Remove(union, member, from)
        }
        Command::Import { file } => {
            let bytes = std::fs::read(&file).with_context(|| format!("{} を読めません", file.display()))?;
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (rows, problems) = union_members::read(&name, &bytes);
            stop_at_errors(&problems)?;
            Act::Import(name, rows)
        }
    })
}

impl Which {
    fn read(&self) -> Result<(InsurerNumber, InsurerNumber, Date)> {
        let number = |item: &str, text: &str| {
            InsurerNumber::parse(text).map_err(|error| anyhow!("{item}: {}", error.message_ja()))
        };
        let (union, member) =
            (number("広域連合の保険者番号", &self.union)?, number("構成市町村の保険者番号", &self.member)?);
        Ok((union, member, day("--from", &self.from)?))
    }
}

fn day(item: &str, text: &str) -> Result<Date> {
    parse_typed(text).map_err(|error| anyhow!("{item}: {}", error.message_ja()))
}

/// Does it.
pub async fn run(act: Act, platform: &Platform, context: &Context) -> Result<()> {
    match act {
        Act::Add(member) => {
            let members = [member];
            for note in platform.check_union_members(&members).await.map_err(explain)?.notes {
                println!("注意: {}", note.message);
            }
            platform.put_union_members(&members, "cli", context).await.map_err(explain)?;
            println!("登録しました: {}", members.iter().map(words).collect::<String>());
        }
        Act::List => {
            let members = platform.union_members("cli", context).await.map_err(explain)?;
            let rows = members.iter().map(|row| (row.union, row.member, row.period));
            let csv = union_members::write(rows).map_err(|problems| anyhow!("{}", lines(&problems)))?;
            print!("{}", String::from_utf8(csv)?);
        }
        Act::Remove(union, member, from) => {
            platform.remove_union_member(union, member, from, "cli", context).await.map_err(explain)?;
            println!("消しました: 広域連合 {union} の構成市町村 {member}（{}から）", wareki(from));
        }
        Act::Import(file, rows) => import(&file, &rows, platform, context).await?,
    }
    Ok(())
}

async fn import(file: &str, rows: &[MemberRow], platform: &Platform, context: &Context) -> Result<()> {
    let stored = |row: &MemberRow| StoredMember { union: row.union, member: row.member, period: row.period };
    let members: Vec<StoredMember> = rows.iter().map(stored).collect();
    let found = platform.check_union_members(&members).await.map_err(explain)?;
    let line = |place: usize| rows.get(place).map_or(0, |row| row.line);
    let notes = found
        .notes
        .iter()
        .map(|note| union_members::located(file, line(note.place), note.item, note.rule, &note.message).warning());
    let faults = found
        .faults
        .iter()
        .map(|fault| union_members::located(file, line(fault.place), fault.item, fault.rule, &fault.message));
    stop_at_errors(&notes.chain(faults).collect::<Vec<_>>())?;
    platform.put_union_members(&members, "cli", context).await.map_err(explain)?;
    println!("{}件を登録しました", members.len());
    Ok(())
}

/// Prints what is to be looked at; ends with everything that is wrong.
fn stop_at_errors(problems: &[Problem]) -> Result<()> {
    let (errors, notes): (Vec<&Problem>, Vec<&Problem>) = problems.iter().partition(|problem| problem.is_error());
    for note in notes {
        println!("注意: {}", printable(&note.message_ja()));
    }
    if errors.is_empty() {
        return Ok(());
    }
    bail!("何も登録していません。次を直してください\n{}", lines(errors))
}

fn lines<'a>(problems: impl IntoIterator<Item = &'a Problem>) -> String {
    problems.into_iter().map(|problem| printable(&problem.message_ja())).collect::<Vec<_>>().join("\n")
}

fn words(row: &StoredMember) -> String {
    let name = municipality::find(row.member).map(|found| format!(" {}", found.name)).unwrap_or_default();
    let last = row.period.to().map(|to| format!("{}まで", wareki(to))).unwrap_or_default();
    format!("広域連合 {} の構成市町村 {}{name}（{}から{last}）", row.union, row.member, wareki(row.period.from()))
}
