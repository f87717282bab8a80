//! お知らせ（紙）をまとめて作る (P-036): what the paper is to say and to whom, then one file with everything: of each bundle the file that is
//! printed, and its 送付台帳.

use super::notice::{Letter, Sender};
use super::visitor::{Away, Posted, Visitor};
use super::{Frame, show, words};
use crate::api::csv;
use crate::api::paper_notices::answer;
use crate::input::Form;
use crate::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Response;
use kiban_domain::Date;
use kiban_domain::dates::{DateError, parse_typed};
use kiban_service::{BundledNotice, ItemFault, NoticesOrder, PAPERS_OF_A_BUNDLE};

#[derive(Template)]
#[template(path = "letters.html")]
struct LettersPage {
    page: Frame,
    today: String,
    papers: usize,
    form: Form,
    /// Field and message.
    errors: Vec<(String, String)>,
}

impl LettersPage {
    fn of(app: &App, visitor: &Visitor, form: Form) -> Self {
        let frame = visitor.frame(app, "お知らせ（紙）をまとめて作る", "P-036", "/insured");
        Self {
            page: Frame { body: "main--read", ..frame },
            today: words::day(visitor.context.today()),
            papers: PAPERS_OF_A_BUNDLE,
            form,
            errors: Vec::new(),
        }
    }

    fn message(&self, name: &str) -> Option<&str> {
        self.errors.iter().find(|(field, _)| field == name).map(|(_, text)| text.as_str())
    }

    fn typed(&self, name: &str) -> &str {
        self.form.get(name)
    }
}

pub(crate) async fn form(State(app): State<App>, visitor: Visitor) -> Result<Response, Away> {
    app.platform.may_make_notices(&visitor.caller, &visitor.context).await.map_err(Problem::from)?;
    Ok(show(&LettersPage::of(&app, &visitor, Form::default()))?)
}

/// Both days as typed; empty is none.
fn order(form: &Form) -> Result<NoticesOrder, Problem> {
    let mut faults = Vec::new();
    let mut day = |item: &'static str| -> Option<Date> {
        let typed = Some(form.get(item)).filter(|typed| !typed.is_empty())?;
        let read = parse_typed(typed).map_err(|error: DateError| faults.push(ItemFault::new(item, error.message_ja())));
        read.ok()
    };
    let order = NoticesOrder { day: day("day"), since: day("since") };
    if faults.is_empty() { Ok(order) } else { Err(Problem::invalid(faults)) }
}

pub(crate) async fn make(State(app): State<App>, posted: Posted) -> Result<Response, Away> {
    let Posted { visitor, form } = posted;
    let problem = match app.platform.paper_notices(&visitor.caller, order(&form), &visitor.context).await {
        Ok(notices) => {
            let text = |name: &str| form.get(name).to_owned();
            let sender = Sender { desk: text("desk"), telephone: text("telephone") };
            return Ok(answer(notices, sender, visitor.context.now));
        }
        Err(problem) => problem,
    };
    let errors = match problem.code {
        "conflict" => vec![("day".to_owned(), problem.title.clone())],
        "invalid" => problem.items(),
        _ => return Err(problem.into()),
    };
    let mut html = LettersPage { errors, ..LettersPage::of(&app, &visitor, form) };
    html.page.has_errors = true;
    let mut response = show(&html)?;
    *response.status_mut() = problem.status;
    Ok(response)
}

/// Made where it is read: it needs no server.
#[derive(Template)]
#[template(path = "letters_file.html")]
struct LettersFile<'a> {
    bundle: &'a str,
    css: &'static str,
    letters: Vec<Letter>,
}

/// Both files of a bundle with their names: `0001.html` for the printer, and `0001.csv`, the register of what was sent, in the same
/// order.
pub fn letters_of_bundle(
    bundle: u64,
    notices: &[BundledNotice],
    sender: &Sender,
) -> Result<[(String, Vec<u8>); 2], Problem> {
    let bundle = format!("{bundle:04}");
    let number = |one: &BundledNotice| format!("{bundle}-{:06}", one.number);
    let letters = notices.iter().map(|one| Letter::of(&one.notice, sender, number(one))).collect::<Result<_, _>>()?;
    let html = LettersFile { bundle: &bundle, css: include_str!("../../assets/kiban.css"), letters };
    let html = html.render().map_err(|error| kiban_service::Error::Internal(error.to_string()))?;
    let register = notices.iter().map(|one| csv::line(register_line(number(one), one)));
    let begin = csv::begin(
        "台帳番号,被保険者番号,氏名,カナ氏名,郵便番号,住所,要介護状態区分,認定の期限,負担割合（割）,負担割合の期限,内容の日,作成日,QRコードの期限",
    );
    let register = begin + &register.collect::<String>();
    Ok([(format!("{bundle}.html"), html.into_bytes()), (format!("{bundle}.csv"), register.into_bytes())])
}

fn register_line(number: String, BundledNotice { notice, .. }: &BundledNotice) -> [String; 13] {
    let (identity, values) = (&notice.insured.identity, &notice.values);
    let day = |day: Option<Date>| day.map(|day| day.to_string()).unwrap_or_default();
    [
        number,
        notice.insured.key.insured.to_string(),
        identity.name.clone(),
        identity.kana.clone(),
        identity.postal_code.clone().unwrap_or_default(),
        identity.address.clone().unwrap_or_default(),
        values.level_name.unwrap_or_default().to_owned(),
        day(values.certified_to),
        values.copayment_tenths.map(|tenths| tenths.to_string()).unwrap_or_default(),
        day(values.copayment_to),
        notice.day.to_string(),
        notice.issued.to_string(),
        day(notice.line.as_ref().map(|line| line.valid_to)),
    ]
}
