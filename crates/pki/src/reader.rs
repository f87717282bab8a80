//! 本人確認 by what オンライン資格確認 says about a card (P-102, P-172): the terminal states the answer of its 連携アプリ.
//!
//! `KO1.<challenge>.<items>.<terminal certificate>.<signature of the terminal>`
//!
//! Items and certificate are base64; the items are those of [`crate::card`]. Unlike there, nothing of the card itself is in it:
//! the terminal's key alone vouches for what was read, which is as much as typing the four items at that terminal.

use crate::card::{CardFault, CardReading, LONGEST_STATEMENT, sign, verifies};
use crate::read::{self, parse};
use crate::{Error, tls::Identity};
use kiban_domain::base64;

const LABEL: &str = "KO1";

/// Whether a text says of itself that it is such a statement.
pub fn is_reader_statement(text: &str) -> bool {
    text.trim_start().starts_with("KO1.")
}

/// States whose card was read at a terminal after it was given this challenge.
pub fn state(items: &[String; 5], challenge: &str, terminal: &Identity) -> Result<String, Error> {
    let own = terminal.chain.first().ok_or(Error::Certificate("no certificate of the terminal".to_owned()))?;
    let parts = [items.join("\t").as_bytes(), own.as_ref()].map(base64::encode);
    let signed = format!("{LABEL}.{challenge}.{}", parts.join("."));
    let signature = sign(terminal, signed.as_bytes())?;
    Ok(format!("{signed}.{}", base64::encode(&signature)))
}

/// Takes a statement apart and checks the terminal's signature. Whether the challenge was ours, the terminal is in good standing
/// and such statements are taken at all is for the caller to ask.
pub fn check(text: &str) -> Result<CardReading, CardFault> {
    let text = text.trim();
    let (signed, signature) = text.rsplit_once('.').ok_or(CardFault::Form)?;
    let parts: Vec<&str> = signed.split('.').collect();
    let [LABEL, challenge, items, terminal] = parts[..] else { return Err(CardFault::Form) };
    if text.len() > LONGEST_STATEMENT || challenge.is_empty() {
        return Err(CardFault::Form);
    }
    let bytes = |part: &str| base64::decode(part).ok_or(CardFault::Form);
    let (items, terminal) = (bytes(items)?, bytes(terminal)?);
    let holder = parse(&terminal).map_err(|_| CardFault::Form)?;
    if !verifies(&holder, signed.as_bytes(), &bytes(signature)?) {
        return Err(CardFault::Terminal);
    }
    let items = String::from_utf8(items).map_err(|_| CardFault::Form)?;
    let items: Vec<String> = items.split('\t').map(str::to_owned).collect();
    let face = <[String; 5]>::try_from(items).map_err(|_| CardFault::Form)?;
    let terminal = read::fingerprint(&terminal);
    Ok(CardReading { challenge: challenge.to_owned(), terminal, card: String::new(), face })
}
