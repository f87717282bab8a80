//! Golden table: the whole policy printed for people and compared with `tests/golden/access.txt`, so that every change
//! of a rule is a visible difference. `UPDATE_GOLDEN=1 cargo test -p kiban-policy` rewrites the file.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::{asks, city, office, table};
use crate::consent::{ConsentSubject, ConsentTaker, may_take_consent};
use crate::decide::{Decision, Disclosure, Steps, decide_with};
use crate::facts::{Action, CLASSES, CONSENTS, Caller, Disaster, Facts, KindFacts, MunicipalityRelation, OfficeFacts};
use crate::office::{class_of, makes_plans};
use crate::register::{Writer, may_register, may_write_on_screen};
use crate::rule::Rule;
use crate::table::{Audience, Mark, Row, SharingTable};
use crate::way::{UseCase, Way, way_allows};
use crate::withheld::Treatment;
use kiban_domain::ServiceType;
use kiban_domain::office::JobType;

const LEGEND: &str = "\
アクセス判断の一覧（自動で作られる。直すのは tables/*.tsv と decide.rs）

印  ★ 作成者  ○ 共有  ◎ 原則同意のうえ共有  – 共有しない（存在も伝えない）
見られるとき 印そのまま。不開示により居所の項目を伏せるときは ☆ ● ◇
見られないとき – 何もないのと同じ答え  同 同意未取得  計 計画担当の介護支援専門員だけ  設 事業所の設定  保 保存していない
               始 未開始  証 ログイン・証明書  書 この立場では作成しない
1つの欄は3文字: この種別を拒否・同意なし・同意あり
";

fn sign(decision: &Decision) -> &'static str {
    match decision {
        Decision::Allow { mark, whereabouts_hidden: false, .. } => mark.sign(),
        Decision::Allow { mark, .. } => ["?", "◇", "●", "☆"][*mark as usize],
        Decision::Refuse { disclosure: Disclosure::Blind, .. } => "–",
        Decision::Refuse { rule, .. } => match rule {
            Rule::ConsentMissing | Rule::KindRefused => "同",
            Rule::NotPlanMaker => "計",
            Rule::SwitchedOff => "設",
            Rule::NotStored => "保",
            Rule::NotStarted => "始",
            Rule::SessionInvalid => "証",
            Rule::NotWriter => "書",
            _ => "?",
        },
    }
}

fn kind_name(kind: KindFacts) -> String {
    use crate::facts::Opinion;
    match kind {
        KindFacts::A2(Opinion::NotAccepted) => "A2未".to_owned(),
        KindFacts::A2(Opinion::Accepted) => "A2".to_owned(),
        KindFacts::A2(Opinion::DoctorRefused) => "A2拒".to_owned(),
        other => other.row().code().to_owned(),
    }
}

/// Somebody who asks: who it is and how tied to the person, the 職種 if that may matter, and the facts.
struct Asker {
    who: String,
    job: &'static str,
    caller: Caller,
}

/// Everybody who differs in the eyes of the law.
fn askers() -> Vec<Asker> {
    let plain = |who: &str, caller| Asker { who: who.to_owned(), job: "", caller };
    let mut out = vec![
        plain("利用者 本人", Caller::Person { bound: true }),
        plain("利用者 別人", Caller::Person { bound: false }),
        plain("代理 有効", Caller::Proxy { live: true }),
        plain("代理 無効", Caller::Proxy { live: false }),
        plain("市区町村 保険者", city(MunicipalityRelation::Own)),
        plain("市区町村 避難受入", city(MunicipalityRelation::HostOfEvacuees)),
        plain("市区町村 その他", city(MunicipalityRelation::Other)),
        plain("都道府県", Caller::Prefecture),
        plain("運用者", Caller::Operator),
    ];
    const TIES: [(&str, bool, bool); 3] =
        [("担当", true, false), ("意見書依頼", false, true), ("登録なし", false, false)];
    const JOBS: [(&str, bool, bool); 4] = [
        ("計画担当の介護支援専門員", true, true),
        ("介護支援専門員", true, false),
        ("計画担当だが他職種", false, true),
        ("他職種", false, false),
    ];
    for class in CLASSES {
        for (tie, assignment_live, opinion_requested) in TIES {
            for (job, care_manager, plan_maker) in JOBS {
                let who = format!("{} {tie}", table().class_name(class));
                let facts =
                    OfficeFacts { care_manager, plan_maker, assignment_live, opinion_requested, ..office(class) };
                out.push(Asker { who, job, caller: Caller::Office(facts) });
            }
        }
    }
    out
}

/// One line per asker: every kind × consent. Neighbouring 職種 with the same answers share a line.
fn matrix(out: &mut String, title: &str, change: fn(&mut Facts), table: &SharingTable, steps: Steps) {
    let kinds: Vec<String> = KindFacts::ALL.into_iter().map(kind_name).collect();
    let _ = writeln!(out, "\n== {title}\n立場\t職種\t{}", kinds.join(" "));
    let mut lines: Vec<(String, Vec<&str>, String)> = Vec::new();
    for Asker { who, job, caller } in askers() {
        let mut base = asks(caller, KindFacts::A1);
        change(&mut base);
        let answers = answers(base, table, steps);
        match lines.last_mut().filter(|last| last.0 == who && last.2 == answers) {
            Some(last) => last.1.push(job),
            None => lines.push((who, vec![job], answers)),
        }
    }
    for (who, jobs, answers) in lines {
        let jobs = if jobs.len() == 4 { "全職種".to_owned() } else { jobs.join("・") };
        let _ = writeln!(out, "{who}\t{jobs}\t{answers}");
    }
}

fn answers(base: Facts, table: &SharingTable, steps: Steps) -> String {
    let answer = |kind, consent| sign(&decide_with(&Facts { kind, consent, ..base }, table, steps));
    KindFacts::ALL.map(|kind| CONSENTS.map(|consent| answer(kind, consent)).concat()).join(" ")
}

/// A section of the golden table: its title, and how it differs from an ordinary day.
type Circumstance = (&'static str, fn(&mut Facts));

/// The whole policy as text.
pub(super) fn golden(table: &SharingTable, steps: Steps) -> String {
    let mut out = String::from(LEGEND);
    plain(&mut out, table);
    const CIRCUMSTANCES: [Circumstance; 14] = [
        ("閲覧", |_| {}),
        ("閲覧、自ら作成した文書", |f| f.creator = true),
        ("閲覧、災害時モード", |f| f.disaster = Disaster::Open),
        ("閲覧、災害時モード（同意なしでも見せる）", |f| f.disaster = Disaster::OpenWithoutConsent),
        ("閲覧、不開示の人", |f| f.withheld = true),
        ("閲覧、不開示の人、自ら作成した文書", |f| (f.withheld, f.creator) = (true, true)),
        ("閲覧、不開示の人、市区町村が確認した事業所", |f| {
            f.withheld = true;
            if let Caller::Office(o) = &mut f.caller {
                o.confirmed_by_city = true;
            }
        }),
        ("閲覧、不開示の人、災害時モード（同意なしでも見せる）", |f| {
            (f.withheld, f.disaster) = (true, Disaster::OpenWithoutConsent);
        }),
        ("閲覧、事業所が閲覧を止めた職員", |f| {
            if let Caller::Office(o) = &mut f.caller {
                o.switched_off = true;
            }
        }),
        ("閲覧、未開始の市区町村", |f| f.insurer_started = false),
        ("閲覧、無効なログイン", |f| f.session_valid = false),
        ("作成", |f| (f.action, f.creator) = (Action::Create, true)),
        ("他の作成者の文書の書換え", |f| f.action = Action::Create),
        ("作成、災害時モード（同意なしでも見せる）", |f| {
            (f.action, f.creator, f.disaster) = (Action::Create, true, Disaster::OpenWithoutConsent);
        }),
    ];
    for (title, change) in CIRCUMSTANCES {
        matrix(&mut out, title, change, table, steps);
    }
    reasons(&mut out, table, steps);
    side_tables(&mut out, table);
    out
}

/// The table itself, as the law prints it.
fn plain(out: &mut String, table: &SharingTable) {
    let _ = writeln!(out, "\n== 共有範囲の表（適用開始 {}）", table.from);
    for row in Row::ALL {
        let marks: Vec<&str> = Audience::ALL.iter().map(|audience| table.cell(row, *audience).mark.sign()).collect();
        let own = Audience::ALL.iter().filter(|audience| table.cell(row, **audience).own_only).count();
        let _ = writeln!(out, "{}\t{}{}", row.code(), marks.join(" "), if own > 0 { "\t自作のみあり" } else { "" });
    }
}

/// Rule and sentence of the main cases.
fn reasons(out: &mut String, table: &SharingTable, steps: Steps) {
    let _ = writeln!(out, "\n== 理由（同意なし・同意ありの順に、規則 要件 手順。伏せる答えの規則は監査にだけ残る）");
    const MAIN: [&str; 3] = ["", "計画担当の介護支援専門員", "他職種"];
    for Asker { who, job, caller } in askers().into_iter().filter(|asker| MAIN.contains(&asker.job)) {
        for kind in KindFacts::ALL {
            let _ = write!(out, "{who}\t{job}\t{}", kind_name(kind));
            for consent in [CONSENTS[1], CONSENTS[2]] {
                let rule = decide_with(&Facts { consent, ..asks(caller, kind) }, table, steps).rule();
                let reason = table.reason(rule);
                let _ = write!(out, "\t{} {} {}", rule.code(), reason.requirement, reason.step);
            }
            out.push('\n');
        }
    }
}

/// Everything the side tables say.
fn side_tables(out: &mut String, table: &SharingTable) {
    let _ = writeln!(out, "\n== 作成・登録できる立場（画 画面、取 取込み）");
    let writers = [Writer::Person, Writer::Municipality].into_iter().chain(CLASSES.map(Writer::Office));
    for writer in writers {
        let kinds = Row::ALL.into_iter().filter_map(|row| {
            let means = match (may_write_on_screen(writer, row, table), may_register(writer, row, table)) {
                (true, true) => "画取",
                (true, false) => "画",
                (false, true) => "取",
                (false, false) => return None,
            };
            Some(format!("{}:{means}", row.code()))
        });
        let name = match writer {
            Writer::Person => "利用者・代理",
            Writer::Municipality => "市区町村",
            Writer::Office(class) => table.class_name(class),
        };
        let _ = writeln!(out, "{name}\t{}", kinds.collect::<Vec<_>>().join(" "));
    }
    let _ = writeln!(out, "\n== 同意の取得（認定なし / 認定あり・次の申請前 / 認定あり・市区町村が申請を受付け済み）");
    for (name, taker) in takers() {
        let answers = [(false, false), (true, false), (true, true)].map(|(certified, asked_by_municipality)| {
            match may_take_consent(taker, ConsentSubject { certified, asked_by_municipality }, table) {
                Ok(()) => "可",
                Err(rule) => rule.code(),
            }
        });
        let _ = writeln!(out, "{name}\t{}", answers.join(" / "));
    }
    let _ = writeln!(out, "\n== 災害時モードが代わるもの（事業所の登録・受入市区町村・同意）");
    for row in Row::ALL.into_iter().filter(|row| row.is_stored()) {
        let rule = table.disaster(row);
        let _ =
            writeln!(out, "{}\t{}", row.code(), [rule.offices, rule.host, rule.without_consent].map(circle).join(" "));
    }
    let _ = writeln!(out, "\n== 事業所の区分が立てる欄（居宅介護支援・介護事業所・医療機関）");
    for class in CLASSES {
        let rule = table.class(class);
        let hospital = circle(rule.hospital);
        let _ = writeln!(out, "{}\t{:?} {:?} {hospital}", table.class_name(class), rule.care_planning, rule.service);
    }
    let narrowed: Vec<_> = Row::ALL.into_iter().filter(|row| table.is_plan_maker_only(*row)).map(Row::code).collect();
    let _ = writeln!(out, "\n== 計画担当の介護支援専門員に限る種別\n{}", narrowed.join(" "));
    let _ = writeln!(out, "\n== 不開示の人の居所が分かる項目");
    for row in Row::ALL.into_iter().filter(|row| row.is_stored()) {
        let items = table.whereabouts(row).map(|item| match item.treatment {
            Treatment::Mask => item.item.clone(),
            Treatment::Close => format!("{}（種別ごと閉じる）", item.item),
        });
        let _ = writeln!(out, "{}\t{}", row.code(), items.collect::<Vec<_>>().join(" "));
    }
    let _ = writeln!(out, "\n== 入口（画面・ソフト連携・市のソフト・接続プログラム）");
    for use_case in use_cases() {
        let open = [Way::Interactive, Way::VendorProgram, Way::CityProgram, Way::Connector]
            .map(|way| circle(way_allows(way, use_case, table)));
        let _ = writeln!(out, "{use_case:?}\t{}", open.join(" "));
    }
    slips(out, table);
    let _ = writeln!(out, "\n== サービス種類の区分（※1 計画を作る種類）");
    for rule in &table.service_types {
        let code = ServiceType::parse(&rule.code).unwrap();
        let class = class_of(std::slice::from_ref(&code), false, table);
        let plans = if makes_plans(&code, table) { "※1" } else { "" };
        let _ = writeln!(
            out,
            "{}\t{}\t{}\t{plans}\t{}–{}",
            rule.code,
            rule.name,
            table.class_name(class),
            rule.from,
            rule.to
        );
    }
}

/// Messages between offices: whoever has to do with one, by its state.
fn slips(out: &mut String, table: &SharingTable) {
    use crate::slip::{SlipAct as A, SlipFacts, SlipParty as P, decide_slip};
    use kiban_domain::slip::{SlipContent as C, SlipState as S};
    let _ = writeln!(out, "\n== やりとり（送信済・取得済・実績返信済・取消済。– できない  無 ないのと同じ答え）");
    let states = [S::Sent, S::Fetched, S::Answered, S::Withdrawn];
    let facts =
        |act, party, state, content, class| SlipFacts { act, party, state, content, class, session_valid: true };
    for act in [A::Read, A::Files, A::Fetch, A::Withdraw, A::Answer, A::Register] {
        for (party, name) in [(P::Sender, "送信元"), (P::Addressee, "宛先"), (P::Nobody, "ほか")] {
            let answer = |state| {
                let decision = decide_slip(&facts(act, party, state, C::Plan, Some(CLASSES[0])), table);
                match decision.disclosure() {
                    _ if decision.is_allowed() => "○",
                    Disclosure::Blind => "無",
                    Disclosure::Told => "–",
                }
            };
            let _ = writeln!(out, "{act:?}\t{name}\t{}", states.map(answer).join(" "));
        }
    }
    let _ = writeln!(out, "\n== やりとりの相手（予定を送る・実績を送る・受け取る）");
    for class in CLASSES {
        let sends = |content| {
            circle(decide_slip(&facts(A::Send, P::Sender, S::Sent, content, Some(class)), table).is_allowed())
        };
        let receives = circle(crate::slip::may_receive_slips(class, table));
        let _ = writeln!(out, "{}\t{} {} {receives}", table.class_name(class), sends(C::Plan), sends(C::Actuals));
    }
}

fn circle(yes: bool) -> &'static str {
    if yes { "○" } else { "–" }
}

fn takers() -> Vec<(String, ConsentTaker)> {
    let mut out = vec![("市区町村".to_owned(), ConsentTaker::Municipality)];
    for class in CLASSES {
        for job in [JobType::CareManager, JobType::Clerk] {
            for assignment_live in [true, false] {
                let tie = if assignment_live { "担当" } else { "登録なし" };
                let name = format!("{} {} {tie}", table().class_name(class), job.name_ja());
                out.push((name, ConsentTaker::Office { class, job, assignment_live }));
            }
        }
    }
    out
}

pub(super) fn use_cases() -> impl Iterator<Item = UseCase> {
    use UseCase as U;
    let acts = [
        U::Eligibility,
        U::RecordConsent,
        U::FilePlanRequest,
        U::SubmitOpinion,
        U::Disaster,
        U::ListPeople,
        U::ExchangePlan,
        U::ConfirmPlan,
        U::ImportLife,
        U::ImportClaims,
        U::LookUpLog,
        U::ImportPackage,
        U::Inbox,
        U::Notices,
        U::Accounts,
        U::Start,
        U::Export,
        U::Statistics,
        U::Certificates,
        U::RenewCertificate,
    ];
    acts.into_iter().chain(Row::ALL.map(U::View))
}

fn golden_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/access.txt")
}

#[test]
fn the_whole_policy_is_what_people_reviewed() {
    let now = golden(table(), Steps::default());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden_file(), &now).unwrap();
    }
    let reviewed = std::fs::read_to_string(golden_file()).unwrap_or_default();
    let difference = now.lines().zip(reviewed.lines()).find(|(now, reviewed)| now != reviewed);
    assert!(now == reviewed, "first difference (now, reviewed): {difference:?}; review, then UPDATE_GOLDEN=1");
    assert!(!now.contains('?'), "an outcome without a sign");
}

/// The sharing table of 2025-07, transcribed by hand a second time from the published slide, with the three rows the
/// functions add. (★) means creator of its own part.
const PUBLISHED: &str = "
A1     –  ★  ◎   –  –  –  –
A2     –  ○  ◎   ★  –  ★  –
A3a    ○  ★  ○   ○  ○  ○  ○
A3b    ○  ★  ○   ○  ○  ○  ○
A3c    ○  ★  ○   ○  ○  ○  ○
A4     ★  ○  –   –  –  –  –
B1-B2  ○  ○  ★   –  –  –  –
B3-B8  ○  ○ (★)  ★  –  –  –
C1     ◎  ◎  ◎   ★  ◎  ◎  ◎
CP1    ○  ◎  ★   ○  ○  ◎  ◎
CP2    ○  ◎  ★   ○  ○  ◎  ◎
E1     ◎  ★  ◎   –  –  –  –
E2     ◎  ★  ◎   –  –  –  –
A5     ○  ★  ○   –  –  –  –
F1     ○  ○  ★   –  –  –  –
G1     ★  ★  ○   ○  ○  ○  ○
";

#[test]
fn the_table_is_the_published_table_cell_by_cell() {
    let mut cells = 0;
    for line in PUBLISHED.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let row = Row::parse(words.next().unwrap()).unwrap();
        for (audience, mark) in Audience::ALL.into_iter().zip(words) {
            let mark = Mark::parse(mark.trim_matches(['(', ')'])).unwrap();
            assert_eq!(table().cell(row, audience).mark, mark, "{} {}", row.code(), audience.name_ja());
            cells += 1;
        }
    }
    assert_eq!(cells, 16 * 7);
}

/// The table says what the decision does: for the plainest caller of each column, with consent, cell and answer agree.
#[test]
fn the_plainest_caller_of_each_column_gets_exactly_its_cell() {
    use kiban_domain::office::OfficeClass as C;
    let callers = [
        (Audience::Person, Caller::Person { bound: true }, false),
        (Audience::Municipality, city(MunicipalityRelation::Own), false),
        (Audience::CarePlanning, Caller::Office(super::plan_maker(C::CarePlanning)), true),
        (Audience::ServiceCreator, Caller::Office(office(C::HealthFacility)), true),
        (Audience::ServiceOther, Caller::Office(office(C::Service)), false),
        (Audience::HospitalCreator, Caller::Office(office(C::HospitalWithCare)), true),
        (Audience::HospitalOther, Caller::Office(office(C::HospitalWithCare)), false),
    ];
    for (audience, caller, creator) in callers {
        for kind in KindFacts::ALL.into_iter().filter(|kind| kind.row().is_stored()) {
            if matches!(kind, KindFacts::A2(state) if state != crate::facts::Opinion::Accepted) {
                continue;
            }
            let facts = Facts { creator, consent: crate::facts::Consent::Given, ..asks(caller, kind) };
            let open = decide_with(&facts, table(), Steps::default()).is_allowed();
            // A facility reads plans it wrote through ※1; every other way in is the cell itself.
            assert_eq!(open, table().cell(kind.row(), audience).mark != Mark::Blank, "{kind:?} {}", audience.name_ja());
        }
    }
}
