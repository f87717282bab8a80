//! 本人確認 without typing: a card read at a terminal (P-102, P-107) and the QR code of the notice on paper (P-031). Both
//! only fill in the four items; what a registration opens is the same by every way. Beside them the note that somebody
//! looked at the person at a visit (P-105).

use crate::claim_values::DayValues;
use crate::handle::unhex;
use crate::registration::How;
use crate::submission::hex;
use crate::{Caller, Context, Error, ItemFault, Peer, Platform, Registered, RegistrationRequest, random};
use kiban_domain::assignment::IdentityCheck;
use kiban_domain::insured::{Insured, Sex};
use kiban_domain::{Date, InsuredNumber, InsurerNumber, Organization, dates};
use kiban_pki::card::{CardFault, CardReading, check_statement};
use kiban_pki::paper::{ITEMS, NoticeKey, PaperFault, check_notice};
use kiban_pki::reader;
use kiban_policy::UseCase;
use kiban_store::{Entry, Outcome};
use serde::Serialize;

/// Seconds for which a challenge may be answered: long enough to lay down a card and type a PIN (T-8).
const CHALLENGE_SECONDS: i64 = 120;
/// Longest the notice on paper is good for, days.
const NOTICE_DAYS: i64 = 366;

/// What a process needs to check cards and notices.
#[derive(Default)]
pub struct Identification {
    /// Certificate of the authority whose cards are read, DER; without it no card is.
    pub card_authority: Option<Vec<u8>>,
    /// Signs and checks notices.
    pub notice_key: Option<NoticeKey>,
    /// Public keys of notices signed before the key was changed.
    pub earlier_notice_keys: Vec<Vec<u8>>,
}

/// What an office scanned instead of typing.
#[derive(Clone)]
pub struct Scanned {
    /// The line.
    pub text: String,
    /// ※1: the caller makes this person's plan.
    pub makes_plan: bool,
}

/// A challenge for a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CardChallenge {
    /// What the card signs.
    pub challenge: String,
    /// Seconds for which the statement is taken.
    pub seconds: i64,
}

/// What the notice on paper says (P-031).
#[derive(Debug, Clone)]
pub struct PaperNotice {
    /// To whom, as the city registered them.
    pub insured: Insured,
    /// Day on which it is made.
    pub issued: Date,
    /// Day as of which it holds.
    pub day: Date,
    /// The part of the cards that changes; absent is what is not registered.
    pub values: DayValues,
    /// None of somebody under 不開示: the paper may come where it must not.
    pub line: Option<NoticeLine>,
}

/// The signed line of a notice on paper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticeLine {
    /// Content of the QR code.
    pub text: String,
    /// First day of its validity.
    pub valid_from: Date,
    /// Last day.
    pub valid_to: Date,
}

impl Platform {
    /// Gives this process what it needs. Once; a second is not taken.
    pub fn seat_identification(&self, identification: Identification) {
        let _ = self.inner.identification.set(identification);
    }

    pub(crate) fn identification(&self) -> &Identification {
        self.inner.identification.get_or_init(Identification::default)
    }

    /// Whether cards can be read at all.
    pub fn reads_cards(&self) -> bool {
        self.identification().card_authority.is_some() || self.inner.config.online_qualification
    }

    /// A challenge for the terminals of an office. Nobody is logged in: the app has the terminal's certificate only.
    pub async fn card_challenge(
        &self,
        peer: &Peer,
        organization: Organization,
        context: &Context,
    ) -> Result<CardChallenge, Error> {
        if organization.office().is_none() || !self.reads_cards() {
            return Err(Error::Unknown);
        }
        let nonce: [u8; 12] = random()?;
        let at = u32::try_from(context.now.as_second()).unwrap_or_default();
        let head = [&at.to_be_bytes()[..], &nonce].concat();
        let mac = self.challenge_mac(organization, &peer.fingerprint, &head).await?;
        let entry = Entry::new(context.now, &context.request_id, "terminal", "card.challenge", Outcome::Done);
        let entry = Entry {
            organization: Some(organization.to_string()),
            certificate: crate::caller::fingerprint_bytes(&peer.fingerprint),
            source: Some(peer.source.clone()),
            ..entry
        };
        context.note_entry();
        self.store().audit().append(entry).await?;
        Ok(CardChallenge { challenge: hex(&[head, mac].concat()), seconds: CHALLENGE_SECONDS })
    }

    /// Of one terminal of one organisation.
    async fn challenge_mac(&self, organization: Organization, terminal: &str, head: &[u8]) -> Result<Vec<u8>, Error> {
        let keys = self.store().platform_keys().await?;
        let text = [format!("card challenge|{organization}|{terminal}|").as_bytes(), head].concat();
        Ok(keys.digest(&text)[..16].to_vec())
    }

    /// Confirms a person by what an identification app states about the card it has read, and registers the office.
    pub async fn register_by_card<E: From<Error>>(
        &self,
        caller: &Caller,
        scanned: Result<Scanned, E>,
        context: &Context,
    ) -> Result<Registered, E> {
        let office = self.may_register_office(caller, context)?;
        let scanned = scanned?;
        let (reading, check) = self.card_of(caller, &scanned.text, context).await?;
        let [insurer, insured, kana, birth, sex] = &reading.face;
        let request = request([insurer, insured, kana, birth, sex], scanned.makes_plan);
        let request = request.ok_or_else(|| card_fault(CardFault::Form))?;
        let once = Some(self.once_of(&reading).await?);
        let how = How { check, once };
        Ok(self.confirm_and_register(caller, office, request, how, context).await?)
    }

    /// What the card says, after everything about the statement held, and by which way.
    async fn card_of(
        &self,
        caller: &Caller,
        text: &str,
        context: &Context,
    ) -> Result<(CardReading, IdentityCheck), Error> {
        let (authority, by_reader) = (&self.identification().card_authority, reader::is_reader_statement(text));
        let (reading, check) = match authority {
            _ if by_reader && self.inner.config.online_qualification => {
                (reader::check(text), IdentityCheck::OnlineQualification)
            }
            Some(authority) if !by_reader => {
                (check_statement(text, authority, context.now), IdentityCheck::IndividualNumberCard)
            }
            _ => {
                let text = "この基盤では、まだこの読み取りを使えません。被保険者証で登録してください";
                return Err(Error::item("statement", text));
            }
        };
        let reading = reading.map_err(card_fault)?;
        // The reader may be another terminal than the screen, of the same office and in good standing.
        let terminal = self.standing().organization(&reading.terminal, context.now);
        if terminal != Ok(caller.organization) {
            return Err(card_fault(CardFault::Terminal));
        }
        let issued = self.challenge_issued(caller.organization, &reading).await?;
        let age = issued.map(|at| context.now.as_second() - at);
        if age.is_none_or(|age| !(0..=CHALLENGE_SECONDS).contains(&age)) {
            let text = "読み取りから時間がたっています。もう一度カードを読み取ってください（2分以内）";
            return Err(Error::item("statement", text));
        }
        Ok((reading, check))
    }

    /// When the challenge was given to this terminal of this organisation, in seconds; none if it was not.
    async fn challenge_issued(&self, organization: Organization, reading: &CardReading) -> Result<Option<i64>, Error> {
        let Some(bytes) = unhex(&reading.challenge) else { return Ok(None) };
        let Some((head, mac)) = bytes.split_at_checked(16) else { return Ok(None) };
        let ours = self.challenge_mac(organization, &reading.terminal, head).await?;
        let differs = ours.iter().zip(mac).fold(ours.len() ^ mac.len(), |all, (a, b)| all | usize::from(a ^ b));
        let at = head.first_chunk::<4>().map(|at| i64::from(u32::from_be_bytes(*at)));
        Ok(at.filter(|_| differs == 0))
    }

    /// What a statement is counted under: it is good once, whatever becomes of it.
    async fn once_of(&self, reading: &CardReading) -> Result<[u8; 32], Error> {
        let keys = self.store().platform_keys().await?;
        Ok(keys.digest(format!("card used|{}", reading.challenge).as_bytes()))
    }

    /// Confirms a person by the QR code of a notice on paper, and registers the office.
    pub async fn register_by_notice<E: From<Error>>(
        &self,
        caller: &Caller,
        scanned: Result<Scanned, E>,
        context: &Context,
    ) -> Result<Registered, E> {
        let office = self.may_register_office(caller, context)?;
        let scanned = scanned?;
        let items = check_notice(&scanned.text, &self.notice_keys()).map_err(paper_fault)?;
        let [insurer, insured, kana, birth, sex, _, _, from, to, _] = &items;
        let read = (request([insurer, insured, kana, birth, sex], scanned.makes_plan), day(from), day(to));
        let (Some(request), Some(from), Some(to)) = read else { return Err(paper_fault(PaperFault::Form).into()) };
        if !(from..=to).contains(&context.today()) {
            let text = format!("期限（{}）を過ぎています。新しいお知らせを見せてもらってください", dates::wareki(to));
            return Err(Error::item("notice", text).into());
        }
        let how = How { check: IdentityCheck::PaperNotice, once: None };
        Ok(self.confirm_and_register(caller, office, request, how, context).await?)
    }

    /// Public keys of the notices on paper, this and the earlier ones.
    pub fn notice_keys(&self) -> Vec<Vec<u8>> {
        let Identification { notice_key, earlier_notice_keys, .. } = self.identification();
        notice_key.iter().map(NoticeKey::public_key).chain(earlier_notice_keys.iter().cloned()).collect()
    }

    /// The signed line for the notice on paper of one of a municipality's own insured (P-031). Recorded as a look at the cards.
    pub async fn notice_line(&self, caller: &Caller, handle: &str, context: &Context) -> Result<NoticeLine, Error> {
        let notice = self.notice_on_paper(caller, handle, context).await?;
        notice.line.ok_or(Error::Conflict("不開示の方のお知らせにはQRコードを付けません"))
    }

    /// What the notice on paper says of one of a municipality's own insured: the part of the cards that changes, as of today
    /// (P-031). Recorded as a look at the cards.
    pub async fn notice_on_paper(
        &self,
        caller: &Caller,
        handle: &str,
        context: &Context,
    ) -> Result<PaperNotice, Error> {
        let person = self.own_insured(caller, handle, context).await?;
        let Some(key) = &self.identification().notice_key else { return Err(Error::Unknown) };
        let month = Ok::<_, Error>(None);
        let values = self.claim_values(caller, handle, month, context).await?;
        let (_, insured) = self.store().person(person).await?.ok_or(Error::Unknown)?;
        let today = context.today();
        let values = values.parts.into_iter().find(|part| (part.from..=part.to).contains(&today));
        let values = values.map(|part| part.values).unwrap_or_default();
        // The paper may lie where it must not (T-8).
        let line = (!insured.withheld).then(|| notice_line(key, &insured, &values, (today, today)));
        Ok(PaperNotice { insured, issued: today, day: today, values, line })
    }

    /// Notes that a member of staff looked at the person at a visit and knew them (目視, P-105). It opens nothing.
    pub async fn note_visual_check(&self, caller: &Caller, handle: &str, context: &Context) -> Result<(), Error> {
        caller.require_way(UseCase::Eligibility, self.table_at(context.now)?)?;
        let person = self.person_of(caller, handle).await?;
        let case = self.case(caller, person, context).await?;
        if !case.is_assigned() {
            return Err(Error::Unknown);
        }
        let tx = self.store().begin().await?;
        self.commit(tx, caller.entry_about(context, person, "identity.visual", Outcome::Done), &(), context).await
    }
}

/// The line of a notice that holds from a day and is made on another: good to the first end of what it says.
pub(crate) fn notice_line(
    key: &NoticeKey,
    insured: &Insured,
    values: &DayValues,
    (day, issued): (Date, Date),
) -> NoticeLine {
    let year = day.checked_add(jiff::Span::new().days(NOTICE_DAYS)).unwrap_or(day);
    let ends = [values.certified_to, values.copayment_to].into_iter().flatten();
    let valid_to = ends.filter(|end| *end >= day).min().map_or(year, |end| end.min(year));
    let identity = &insured.identity;
    let items: [String; ITEMS] = [
        insured.card_insurer.to_string(),
        insured.key.insured.to_string(),
        identity.kana.replace('\t', " "),
        dates::yyyymmdd(identity.birth),
        identity.sex.code().to_owned(),
        values.level.unwrap_or_default().to_owned(),
        values.copayment_tenths.map(|tenths| tenths.to_string()).unwrap_or_default(),
        dates::yyyymmdd(day),
        dates::yyyymmdd(valid_to),
        dates::yyyymmdd(issued),
    ];
    NoticeLine { text: key.sign(&items), valid_from: day, valid_to }
}

fn request(items: [&String; 5], makes_plan: bool) -> Option<RegistrationRequest> {
    let [insurer, insured, kana, birth, sex] = items;
    Some(RegistrationRequest {
        card_insurer: InsurerNumber::parse(insurer).ok()?,
        insured: InsuredNumber::parse(insured).ok()?,
        kana: kana.clone(),
        birth: day(birth)?,
        sex: Sex::from_code(sex)?,
        makes_plan,
    })
}

fn day(text: &str) -> Option<Date> {
    dates::parse_yyyymmdd(text).ok()
}

fn card_fault(fault: CardFault) -> Error {
    Error::Invalid(vec![ItemFault::new("statement", fault.message_ja())])
}

fn paper_fault(fault: PaperFault) -> Error {
    Error::Invalid(vec![ItemFault::new("notice", fault.message_ja())])
}
