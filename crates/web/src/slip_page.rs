//! 印刷用の提供票: 第6表 and 第7表 of each person as on paper, A4, for a partner who is not connected (P-142). Plain HTML, no
//! script, every value escaped.

use crate::api::Answer;
use crate::pages::public::{self, escape};
use kiban_domain::care_plan::{ClockTime, ServiceSlip, SlipLine, Supplement, Table7Line, Weekday};
use kiban_domain::certification::CareLevel;
use kiban_domain::dates::{ServiceMonth, wareki};
use kiban_domain::insured::Sex;
use kiban_domain::{Date, municipality};
use kiban_service::PrintedSlips;
use std::collections::BTreeMap;

/// The sheets of a set.
pub(crate) fn page_of(printed: &PrintedSlips) -> String {
    let mut body = format!(
        "<h1 class=\"slip__title\">サービス提供票・別表</h1>\n<p class=\"slip__note\">{} {} から {} {} へ。個人情報です。渡す相手を確かめ、使い終わったら確実に処分してください。</p>\n",
        printed.sender,
        escape(printed.sender_name.as_deref().unwrap_or_default()),
        printed.receiver,
        escape(printed.receiver_name.as_deref().unwrap_or_default()),
    );
    for slip in &printed.slips {
        body += &sheet6(slip, &[]);
        body += &sheet7(slip);
    }
    body
}

pub(crate) fn page(printed: &PrintedSlips) -> Answer {
    public::page("サービス提供票", "", "main slip", &page_of(printed))
}

fn day(day: Option<Date>) -> String {
    day.map_or_else(String::new, wareki)
}

fn number(number: Option<i32>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

fn level(level: Option<CareLevel>) -> &'static str {
    level.map_or("", CareLevel::name_ja)
}

/// Name and value, as in the head of the form.
fn item(name: &str, value: &str) -> String {
    format!("<div><dt>{name}</dt><dd>{}</dd></div>", escape(value))
}

fn head(slip: &ServiceSlip) -> String {
    let (first, supplement) = (slip.lines.first(), slip.supplement.as_ref());
    let of = |read: &dyn Fn(&Supplement) -> String| supplement.map(read).unwrap_or_default();
    let city = municipality::find(slip.person.insurer).map_or_else(String::new, |city| city.name.to_string());
    let planner = first.and_then(|line| line.planner).map_or_else(String::new, |number| number.to_string());
    let changed = supplement.and_then(|s| s.level_changed_on);
    let before = supplement.and_then(|s| s.previous_level.filter(|_| changed.is_some()).or(s.level));
    let after = supplement.and_then(|s| s.level.filter(|_| changed.is_some()));
    let limit = of(&|s| s.limit_units.map_or_else(String::new, |units| format!("{units} 単位／月")));
    let period = of(&|s| format!("{} 〜 {}", day(s.limit_from), day(s.limit_to)));
    let stay = of(&|s| s.stay_days_before.map_or_else(String::new, |days| format!("{days} 日")));
    let items = [
        item("認定", &of(&|s| s.certification_state.map_or("", |state| state.name_ja()).to_owned())),
        item("対象年月", &month(slip.month)),
        item("保険者", &format!("{} {city}", slip.person.insurer)),
        item("被保険者番号", slip.person.insured.as_str()),
        item("フリガナ", &of(&|s| s.kana.clone())),
        item("被保険者氏名", &of(&|s| s.name.clone())),
        item("生年月日", &of(&|s| day(s.birth))),
        item("性別", &of(&|s| s.sex.map_or("", Sex::name_ja).to_owned())),
        item("要介護状態区分", level(before)),
        item("変更後の区分・変更日", &format!("{} {}", level(after), day(changed))),
        item("居宅介護支援事業者", &planner),
        item("担当者", first.map_or("", |line| line.planner_name.as_str())),
        item("作成年月日", &day(first.map(|line| line.made_on))),
        item("区分支給限度基準額", &limit),
        item("限度額適用期間", &period),
        item("前月までの短期入所利用日数", &stay),
    ];
    format!("<dl class=\"slip__head\">{}</dl>\n", items.concat())
}

fn month(month: ServiceMonth) -> String {
    let day = month.first_day();
    let whole = wareki(day);
    whole.split_once('月').map_or(whole.clone(), |(before, _)| format!("{before}月"))
}

/// One row of 第6表: a service at a time, with its days.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct RowKey {
    time: String,
    service: String,
    equipment: String,
    office: String,
}

fn row_key(line: &SlipLine) -> RowKey {
    let clock = |time: Option<ClockTime>| {
        let text = time.map_or_else(String::new, |time| time.to_string());
        text.split_at_checked(2).map_or(text.clone(), |(hour, minute)| format!("{hour}:{minute}"))
    };
    let codes: Vec<&str> =
        [line.tais_code.as_str(), line.equipment_code.as_str()].into_iter().filter(|c| !c.is_empty()).collect();
    RowKey {
        time: match (line.from, line.to) {
            (None, None) => String::new(),
            (from, to) => format!("{}〜{}", clock(from), clock(to)),
        },
        service: line.service_code.clone(),
        equipment: format!("{} {}", line.equipment_name, codes.join(" ")).trim().to_owned(),
        office: format!("{} {} {}", line.office, line.office_name, line.satellite).trim().to_owned(),
    }
}

/// 第6表 with what was done, where an office has said it; on paper that is filled in by hand.
pub(crate) fn sheet6(slip: &ServiceSlip, actuals: &[SlipLine]) -> String {
    let last = slip.month.last_day().day();
    let weekday = |n: i8| {
        let day = slip.month.first_day().with().day(n).build().ok();
        let at = day.map_or(0, |day| day.weekday().to_monday_zero_offset());
        usize::try_from(at).ok().and_then(|at| Weekday::ALL.get(at)).map_or("", |day| day.name_ja())
    };
    let mut rows: BTreeMap<RowKey, [BTreeMap<i8, i32>; 2]> = BTreeMap::new();
    for (place, lines) in [slip.lines.as_slice(), actuals].into_iter().enumerate() {
        for line in lines {
            *rows.entry(row_key(line)).or_default()[place].entry(line.day.day()).or_default() += line.count;
        }
    }
    let mut out = String::from("<section class=\"slip__sheet\">\n<h2>第6表 サービス提供票</h2>\n");
    out += &head(slip);
    out += "<table class=\"slip__grid\">\n<thead><tr><th scope=\"col\">提供時間帯</th><th scope=\"col\">サービス内容</th><th scope=\"col\">用具名称・TAIS・届出コード</th><th scope=\"col\">事業所</th><th scope=\"col\">区分</th>";
    for n in 1..=last {
        out += &format!("<th scope=\"col\">{n}<br>{}</th>", weekday(n));
    }
    out += "<th scope=\"col\">合計</th></tr></thead>\n<tbody>\n";
    for (key, [planned, done]) in &rows {
        out += &format!(
            "<tr><td rowspan=\"2\">{}</td><td rowspan=\"2\">{}</td><td rowspan=\"2\">{}</td><td rowspan=\"2\">{}</td><th scope=\"row\">予定</th>",
            escape(&key.time),
            escape(&key.service),
            escape(&key.equipment),
            escape(&key.office),
        );
        for (name, days) in [("", planned), ("</tr>\n<tr><th scope=\"row\">実績</th>", done)] {
            out += name;
            for n in 1..=last {
                out += &format!("<td>{}</td>", days.get(&n).map_or_else(String::new, |count| count.to_string()));
            }
            let sum: i32 = days.values().sum();
            out += &format!("<td>{}</td>", if days.is_empty() { String::new() } else { sum.to_string() });
        }
        out += "</tr>\n";
    }
    out += "</tbody>\n</table>\n</section>\n";
    out
}

/// 第7表
pub(crate) fn sheet7(slip: &ServiceSlip) -> String {
    const COLUMNS: [&str; 20] = [
        "事業所名・番号",
        "サービスコード・用具",
        "単位数",
        "割引後 率%",
        "割引後 単位数",
        "回数",
        "サービス単位／金額",
        "給付管理単位数",
        "種類限度を超える単位数",
        "種類限度内",
        "区分限度を超える単位数",
        "区分限度内",
        "単位数単価",
        "費用総額",
        "給付率%",
        "保険・事業費請求額",
        "定額負担単価",
        "利用者負担（保険・事業）",
        "利用者負担（全額）",
        "短期入所 前月まで・当月・累積",
    ];
    let mut out = String::from("<section class=\"slip__sheet\">\n<h2>第7表 サービス提供票別表</h2>\n");
    let names = [
        item("対象年月", &month(slip.month)),
        item("被保険者番号", slip.person.insured.as_str()),
        item("被保険者氏名", slip.supplement.as_ref().map_or("", |s| s.name.as_str())),
        item("作成年月日", &day(slip.table7.first().map(|line| line.made_on))),
    ];
    out += &format!("<dl class=\"slip__head\">{}</dl>\n<table class=\"slip__grid\">\n<thead><tr>", names.concat());
    COLUMNS.iter().for_each(|name| out += &format!("<th scope=\"col\">{name}</th>"));
    out += "</tr></thead>\n<tbody>\n";
    slip.table7.iter().for_each(|line| out += &row7(line));
    out += "</tbody>\n</table>\n";
    out += &type_limits(slip.supplement.as_ref());
    out += "</section>\n";
    out
}

/// What a row of totals is called; other codes stand as they are.
fn service_name(code: &str) -> String {
    let marks = [("AAAA", "区分支給限度管理対象 小計"), ("EEEE", "対象外 小計"), ("ZZZZ", "30日超 小計")];
    let subtotal = marks.into_iter().find_map(|(mark, name)| Some(format!("（{} {name}）", code.strip_suffix(mark)?)));
    if code == "999999" { "合計".to_owned() } else { subtotal.unwrap_or_else(|| code.to_owned()) }
}

fn row7(line: &Table7Line) -> String {
    let office =
        if line.service_code == "999999" { String::new() } else { format!("{} {}", line.office_name, line.office) };
    let codes = format!("{} {} {}", line.equipment_name, line.tais_code, line.equipment_code);
    let cells = [
        office,
        format!("{} {}", service_name(&line.service_code), codes.trim()),
        line.units.to_string(),
        number(line.discount_percent),
        number(line.discounted_units),
        line.count.to_string(),
        number(line.service_units),
        number(line.managed_units),
        number(line.over_type_limit),
        number(line.within_type_limit),
        number(line.over_limit),
        number(line.within_limit),
        line.unit_price.clone(),
        number(line.total_cost),
        number(line.benefit_percent),
        number(line.claimed),
        number(line.fixed_copayment),
        number(line.copayment),
        number(line.paid_in_full),
        [line.days_before, line.days_planned, line.days_total].map(number).join(" ").trim().to_owned(),
    ];
    let cells: Vec<String> = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
    format!("<tr>{}</tr>\n", cells.concat())
}

/// 種類別支給限度管理.
fn type_limits(supplement: Option<&Supplement>) -> String {
    let Some(supplement) = supplement.filter(|s| !s.service_limits.is_empty()) else { return String::new() };
    let mut out = String::from(
        "<table class=\"slip__grid\">\n<caption>種類別支給限度管理</caption>\n<thead><tr><th scope=\"col\">サービス種類</th><th scope=\"col\">種類支給限度基準額</th><th scope=\"col\">合計単位数</th><th scope=\"col\">超える単位数</th></tr></thead>\n<tbody>\n",
    );
    for slot in &supplement.service_limits {
        let service = slot.service.as_ref().map_or_else(String::new, ToString::to_string);
        let cells = [service, number(slot.limit_units), number(slot.total_units), number(slot.over_units)];
        let cells: Vec<String> = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        out += &format!("<tr>{}</tr>\n", cells.concat());
    }
    out += &format!(
        "<tr><td>合計</td><td></td><td></td><td>{}</td></tr>\n</tbody>\n</table>\n",
        number(supplement.total_over_units)
    );
    out
}
