//! Which insured a log-in is: the 基本4情報 fit exactly one, or the municipality's one-time code says so (T-38). None and several are
//! one answer, and no list is ever shown.

use super::attempt::PersonClaims;
use super::session::needs_code;
use crate::{Context, Error, Platform, random_id};
use jiff::SignedDuration;
use kiban_domain::dates;
use kiban_domain::insured::{Insured, Sex, normalize_kanji};
use kiban_domain::{Date, PersonKey, Timestamp};
use kiban_store::{PortalGrant, PortalRole, SearchTokens};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// What of a log-in is kept to compare with a code's person: keyed digests, no names.
pub(crate) struct Digests {
    pub(crate) subject: [u8; 32],
    pub(crate) birth_and_sex: [u8; 32],
    pub(crate) name_and_birth: [u8; 32],
}

/// Log-ins whose 基本4情報 fitted nobody a moment ago: every started municipality is not asked again for each of them.
#[derive(Default)]
pub(crate) struct Unmatched(Mutex<HashMap<[u8; 32], Timestamp>>);

/// So long.
const UNMATCHED: SignedDuration = SignedDuration::from_mins(5);
/// Log-ins remembered; beyond that those of another time are forgotten, and the rest asks again.
const MANY: usize = 10_000;

impl Unmatched {
    fn holds(&self, subject: &[u8; 32], now: Timestamp) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(subject).is_some_and(|at| is_recent(*at, now))
    }

    fn add(&self, subject: [u8; 32], now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MANY {
            all.retain(|_, at| is_recent(*at, now));
        }
        if all.len() < MANY {
            all.insert(subject, now);
        }
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    at <= now && now < at + UNMATCHED
}

impl Platform {
    pub(crate) async fn digests_of(&self, claims: &PersonClaims) -> Result<Digests, Error> {
        let keys = self.store().platform_keys().await?;
        let subject = format!("portal|subject|{}|{}", claims.issuer, claims.subject);
        Ok(Digests {
            subject: keys.digest(subject.as_bytes()),
            birth_and_sex: self.birth_and_sex(claims.birth.zip(claims.sex)).await?,
            name_and_birth: self.name_and_birth(claims.name.as_deref().zip(claims.birth)).await?,
        })
    }

    /// What is not known fits nothing.
    pub(crate) async fn birth_and_sex(&self, known: Option<(Date, Sex)>) -> Result<[u8; 32], Error> {
        let text = match known {
            Some((birth, sex)) => format!("portal|birth and sex|{}|{}", dates::yyyymmdd(birth), sex.code()),
            None => format!("portal|unknown|{}", random_id()?),
        };
        Ok(self.store().platform_keys().await?.digest(text.as_bytes()))
    }

    /// What is not known fits nothing.
    pub(crate) async fn name_and_birth(&self, known: Option<(&str, Date)>) -> Result<[u8; 32], Error> {
        let text = match known {
            Some((name, birth)) => {
                format!("portal|name and birth|{}|{}", normalize_kanji(name), dates::yyyymmdd(birth))
            }
            None => format!("portal|unknown|{}", random_id()?),
        };
        Ok(self.store().platform_keys().await?.digest(text.as_bytes()))
    }

    /// The registration of somebody whose 基本4情報 fit exactly one insured of a municipality that has started; the reason for the log
    /// when they do not. A 不開示 person is never found by them, nor one who has left, nor a number that became another.
    pub(crate) async fn grant_by_four_items(
        &self,
        claims: &PersonClaims,
        subject: [u8; 32],
        context: &Context,
    ) -> Result<Result<PortalGrant, &'static str>, Error> {
        let known = (claims.name.as_deref(), claims.address.as_deref(), claims.birth, claims.sex);
        let (Some(name), Some(address), Some(birth), Some(sex)) = known else { return Ok(Err("claims_missing")) };
        let fits = |insured: &Insured| {
            let identity = &insured.identity;
            identity.birth == birth
                && identity.sex == sex
                && normalize_kanji(&identity.name) == normalize_kanji(name)
                && identity.address.as_deref().is_some_and(|own| folded_address(own) == folded_address(address))
        };
        if self.inner.unmatched.holds(&subject, context.now) {
            return Ok(Err("no_match"));
        }
        let mut found = Vec::new();
        for (insurer, start) in self.store().starts().await? {
            if !start.is_started(context.today()) || !self.store().has_people(insurer).await? {
                continue;
            }
            let keys = self.store().keys_of(insurer).await?;
            let token = SearchTokens::kanji_birth(&keys, name, &dates::yyyymmdd(birth));
            for insured in self.store().find_by_token(insurer, &token).await? {
                let person = PersonKey { insurer, insured };
                let known = self.store().person(person).await?;
                if let Some((header, known)) = known
                    && !header.withheld
                    && fits(&known)
                    && self.is_present_number(person, &known, context).await?
                {
                    found.push(person);
                }
            }
        }
        match found[..] {
            [person] => {
                let grant = PortalGrant {
                    person,
                    id: random_id()?,
                    role: PortalRole::Person,
                    about: Vec::new(),
                    code: None,
                    despite_withheld: false,
                    ends_on: None,
                    made_by: "portal".to_owned(),
                    made_at: context.now,
                    bound: Some((subject, context.now)),
                    ended: None,
                };
                let former = self.store().portal_grants(person).await?;
                let is_kept_out = former.iter().any(|former| needs_code(former, &grant));
                Ok(if is_kept_out { Err("needs_code") } else { Ok(grant) })
            }
            [] => {
                self.inner.unmatched.add(subject, context.now);
                Ok(Err("no_match"))
            }
            _ => Ok(Err("not_unique")),
        }
    }

    /// Insured here today, and the number has not become another (P-038).
    pub(crate) async fn is_present_number(
        &self,
        person: PersonKey,
        insured: &Insured,
        context: &Context,
    ) -> Result<bool, Error> {
        let is_gone = insured.lost.is_some_and(|(day, _)| day <= context.today());
        Ok(!is_gone && self.is_last_number(person).await?)
    }

    /// The number has not become another (P-038).
    pub(crate) async fn is_last_number(&self, person: PersonKey) -> Result<bool, Error> {
        Ok(self.standing_links(self.store().links_to(person).await?).await?.is_empty())
    }

    /// Keyed digest of a one-time code as typed: case, width, hyphens and spaces do not matter.
    pub(crate) async fn portal_code_digest(&self, typed: &str) -> Result<[u8; 32], Error> {
        let code: String = normalize_kanji(typed).chars().filter(char::is_ascii_alphanumeric).collect();
        let text = format!("portal|code|{}", code.to_ascii_uppercase());
        Ok(self.store().platform_keys().await?.digest(text.as_bytes()))
    }
}

/// A new one-time code, four groups of four: 80 random bits.
pub(crate) fn new_code() -> Result<String, Error> {
    const LETTERS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let random: [u8; 16] = crate::random()?;
    let letters: Vec<char> = random.iter().map(|byte| char::from(LETTERS[usize::from(byte & 31)])).collect();
    Ok(letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

/// An address the way two offices write one: width, spaces and 異体字 folded; 丁目・番地・番・号 and every kind of dash are one dash.
fn folded_address(text: &str) -> String {
    let mut out = String::new();
    for c in normalize_kanji(&with_digits(text)).replace("番地", "-").replace("丁目", "-").chars() {
        let c = match c {
            '番' | '号' | 'の' | 'ノ' | '‐' | '‑' | '–' | '—' | '―' | '−' | 'ー' | 'ｰ' => '-',
            c => c,
        };
        let after_number = out.chars().last().is_some_and(|last| last.is_ascii_digit());
        match c {
            // Only between numbers: place names keep their letters.
            '-' if after_number => out.push('-'),
            '-' => {}
            c => out.push(c),
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// 一丁目 to 十九丁目 with digits; other kanji numerals belong to names.
fn with_digits(text: &str) -> String {
    const NUMERALS: [&str; 19] = [
        "十九", "十八", "十七", "十六", "十五", "十四", "十三", "十二", "十一", "十", "九", "八", "七", "六", "五",
        "四", "三", "二", "一",
    ];
    let mut text = text.to_owned();
    for (place, numeral) in NUMERALS.iter().enumerate() {
        text = text.replace(&format!("{numeral}丁目"), &format!("{}丁目", 19 - place));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_the_same_however_an_office_writes_it() {
        let one = folded_address("見本県見本市架空町1-2-3");
        for other in [
            "見本県見本市架空町１丁目２番３号",
            "見本県見本市架空町一丁目2番地3",
            "見本県 見本市 架空町1丁目2の3",
            "見本県見本市架空町１－２－３",
        ] {
            assert_eq!(folded_address(other), one, "{other}");
        }
        for other in
            ["見本県見本市架空町1-2-4", "見本県見本市架空町12-3", "見本県見本市架空町1-23", "見本県見本市番町1-2-3"]
        {
            assert_ne!(folded_address(other), one, "{other}");
        }
        assert_ne!(folded_address("見本市三番町1"), folded_address("見本市二番町1"));
        assert_ne!(folded_address("見本市一の宮1"), folded_address("見本市宮1"));
    }

    #[test]
    fn a_code_is_made_of_letters_nobody_mistakes() {
        let code = new_code().unwrap();
        assert_eq!(code.len(), 19);
        assert!(code.split('-').all(|group| group.len() == 4 && !group.contains(['0', '1', 'I', 'O'])), "{code}");
        assert_ne!(code, new_code().unwrap());
    }
}
