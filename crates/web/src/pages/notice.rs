//! お知らせ（紙）: the part of the cards that changes, on one page of A4 with a signed QR code, for people who do not use
//! マイナポータル (P-031).

use super::qr::Qr;
use super::visitor::{Away, Visitor};
use super::{Frame, show, words};
use crate::input::Query;
use crate::{App, Problem};
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use kiban_domain::Date;
use kiban_domain::insurance_card::IncomeStage;
use kiban_service::{DayValues, PaperNotice};
use serde::Deserialize;

/// Who sends it, as it stands at the head of the paper. Of the city, not of a person.
#[derive(Debug, Default, Clone, Deserialize)]
pub struct Sender {
    /// 担当の課
    #[serde(default)]
    pub desk: String,
    /// 電話番号
    #[serde(default)]
    pub telephone: String,
}

/// Characters of each of both, at most.
const MOST: usize = 40;

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticePage {
    page: Frame,
    handle: String,
    letter: Letter,
}

/// One sheet of paper.
pub(super) struct Letter {
    pub(super) city: String,
    pub(super) desk: String,
    pub(super) telephone: String,
    /// Place in a run, as the register names it; empty of one that is made by itself.
    pub(super) number: String,
    pub(super) today: String,
    /// Day as of which it holds, where that is another.
    pub(super) day: String,
    pub(super) name: String,
    pub(super) postal_code: String,
    pub(super) address: String,
    /// Name and text of each line of the table, the second in bold where it is what matters most.
    pub(super) lines: Vec<(&'static str, String, String)>,
    /// None of somebody under 不開示.
    pub(super) code: Option<Code>,
}

pub(super) struct Code {
    pub(super) qr: Qr,
    pub(super) valid_to: String,
}

impl Letter {
    pub(super) fn of(notice: &PaperNotice, sender: &Sender, number: String) -> Result<Self, Problem> {
        let text = |text: &str| text.trim().chars().take(MOST).collect::<String>();
        let code = match &notice.line {
            Some(line) => Some(Code { qr: Qr::of(&line.text)?, valid_to: words::day(line.valid_to) }),
            None => None,
        };
        let identity = &notice.insured.identity;
        // Where the paper may come where it must not, nobody copies the address from here.
        let place = |part: &Option<String>| part.clone().filter(|_| code.is_some()).unwrap_or_default();
        Ok(Self {
            city: words::city(notice.insured.key.insurer.as_str()).unwrap_or_else(|| "市区町村".to_owned()),
            desk: text(&sender.desk),
            telephone: text(&sender.telephone),
            number,
            today: words::day(notice.issued),
            day: if notice.day == notice.issued { String::new() } else { words::day(notice.day) },
            name: identity.name.clone(),
            postal_code: place(&identity.postal_code),
            address: place(&identity.address),
            lines: lines(notice),
            code,
        })
    }
}

pub(crate) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(handle): Path<String>,
    Query(sender): Query<Sender>,
) -> Result<Response, Away> {
    let Visitor { caller, context, .. } = &visitor;
    let notice = app.platform.notice_on_paper(caller, &handle, context).await.map_err(Problem::from)?;
    let html = NoticePage {
        letter: Letter::of(&notice, &sender.unwrap_or_default(), String::new())?,
        page: Frame { body: "sheet letter", ..visitor.frame(&app, "介護保険のお知らせ", "P-031", "/insured") },
        handle,
    };
    Ok(show(&html)?)
}

/// What the table says, as of the day.
fn lines(notice: &PaperNotice) -> Vec<(&'static str, String, String)> {
    let PaperNotice { insured, values, .. } = notice;
    let identity = &insured.identity;
    let until = |day: Option<Date>| day.map(|day| format!("（{}まで）", words::day(day))).unwrap_or_default();
    let mut lines = vec![
        ("被保険者番号", String::new(), format!("{}（保険者番号 {}）", insured.key.insured, insured.card_insurer)),
        ("氏名", String::new(), format!("{}（{}）　{}", identity.name, identity.kana, identity.sex.name_ja())),
        ("生年月日", String::new(), words::day(identity.birth)),
    ];
    match values.level_name {
        Some(level) => {
            lines.push(("要介護状態区分", level.to_owned(), String::new()));
            let valid = values.certified_from.map(|from| words::period(from, values.certified_to));
            lines.push(("認定の有効期間", String::new(), valid.unwrap_or_else(|| "期間の定めはありません".to_owned())));
        }
        None => lines.push(("要介護状態区分", String::new(), "いまの認定はありません".to_owned())),
    }
    if let Some(units) = values.limit_units {
        lines.push(("1か月の限度額", String::new(), format!("{} 単位", words::thousands(units))));
    }
    match values.copayment_tenths {
        Some(tenths) => lines.push(("負担割合", format!("{tenths}割"), until(values.copayment_to))),
        None => lines.push(("負担割合", String::new(), "登録されていません。窓口にお問い合わせください".to_owned())),
    }
    lines.push(("負担限度額", String::new(), ceiling(values)));
    let restriction = values.restriction.clone().unwrap_or_else(|| "なし".to_owned());
    lines.push(("給付制限", String::new(), restriction));
    lines
}

fn ceiling(values: &DayValues) -> String {
    let Some(stage) = values.income_stage.and_then(IncomeStage::from_code) else {
        return "認定されていません".to_owned();
    };
    let yen = |name: &str, amount: Option<u32>| amount.map(|yen| format!("{name} 1日 {}円", words::thousands(yen)));
    let amounts = [
        yen("食費（施設）", values.meals_facility),
        yen("食費（短期入所）", values.meals_short_stay),
        yen("ユニット型個室", values.room_unit_private),
        yen("ユニット型個室的多床室", values.room_unit_semi_private),
        yen("従来型個室（特養等）", values.room_private_welfare),
        yen("従来型個室（老健・医療院等）", values.room_private_health),
        yen("多床室", values.room_shared),
    ];
    let amounts: Vec<String> = amounts.into_iter().flatten().collect();
    let until = values.ceiling_to.map(|day| format!("（{}まで）", words::day(day))).unwrap_or_default();
    format!("{}　{}{until}", stage.name_ja(), amounts.join("、"))
}
