//! Numbers that identify organisations and people, parsed once at the edge (docs/requirements.md §15.1).
//!
//! A value of one of these types has the right length, the right characters and, where the law makes the check digit
//! binding, the right check digit. Where real registers are known to break their own check digit rule (事業所番号 and
//! 医療機関コード in four prefectures) the digit is only a warning, never a refusal.

use std::fmt;

/// Why a text is not the number it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The number of characters differs.
    #[error("{expected} characters expected, {found} found")]
    Length {
        /// Characters the number must have.
        expected: usize,
        /// Characters found.
        found: usize,
    },
    /// A character that this number cannot hold.
    #[error("character {position} is not allowed here")]
    Character {
        /// 1-based position.
        position: usize,
    },
    /// The last digit does not follow from the others.
    #[error("check digit is {found}, computed {expected}")]
    CheckDigit {
        /// The digit computed from the others.
        expected: char,
        /// The digit found.
        found: char,
    },
}

impl IdError {
    /// The same in Japanese, for the sender of a file or form.
    pub fn message_ja(&self) -> String {
        match self {
            Self::Length { expected, found } => format!("{expected}桁で入力してください（{found}桁でした）"),
            Self::Character { position } => {
                format!("{position}文字目に使えない文字があります（半角の数字・英大文字のみ）")
            }
            Self::CheckDigit { expected, found } => {
                format!(
                    "検証番号（末尾の数字）が合いません（計算値 {expected}、入力値 {found}）。番号の写し間違いがないか確認してください"
                )
            }
        }
    }
}

/// Check digit of 保険者番号 and 事業所番号: modulus 10, weights 2,1 from the right, digits of products added.
/// Letters count as A=1, B=2 (docs/requirements.md §15.1).
pub fn check_digit_2_1(body: &[u8]) -> u8 {
    let sum: u32 = body
        .iter()
        .rev()
        .enumerate()
        .map(|(i, c)| {
            let digit = if c.is_ascii_digit() { u32::from(c - b'0') } else { u32::from(c - b'A') + 1 };
            let product = digit * if i % 2 == 0 { 2 } else { 1 };
            product / 10 + product % 10
        })
        .sum();
    b'0' + ((10 - sum % 10) % 10) as u8
}

macro_rules! code_type {
    ($(#[$doc:meta])* $name:ident, $len:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Parses and checks; the only way to a value.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let check: fn(&[u8; $len]) -> Result<(), IdError> = $check;
                if let Ok(bytes) = <[u8; $len]>::try_from(text.as_bytes())
                    && bytes.iter().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
                {
                    return check(&bytes).map(|()| Self(bytes));
                }
                let found = text.chars().count();
                if found != $len {
                    return Err(IdError::Length { expected: $len, found });
                }
                let wrong = text.chars().position(|c| !(c.is_ascii_digit() || c.is_ascii_uppercase()));
                Err(IdError::Character { position: wrong.map_or(1, |at| at + 1) })
            }

            /// The number as text.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn digits(bytes: &[u8]) -> Result<(), IdError> {
    match bytes.iter().position(|b| !b.is_ascii_digit()) {
        Some(i) => Err(IdError::Character { position: i + 1 }),
        None => Ok(()),
    }
}

code_type!(
    /// 保険者番号: prefecture 2, municipality 3, check digit 1. The check digit is binding (docs/requirements.md §15.1).
    /// Also used for 証記載保険者番号 (the number printed on the card), which may differ from the paying insurer's.
    #[doc(alias = "保険者番号")]
    InsurerNumber,
    6,
    |b| {
        digits(b)?;
        let expected = check_digit_2_1(&b[..5]);
        if b[5] == expected {
            Ok(())
        } else {
            Err(IdError::CheckDigit { expected: expected as char, found: b[5] as char })
        }
    }
);

impl InsurerNumber {
    /// Number of a 5-digit 市区町村コード, with its check digit.
    pub fn from_code5(code: &str) -> Result<Self, IdError> {
        Self::parse(&format!("{code}{}", check_digit_2_1(code.as_bytes()) as char))
    }

    /// The two digits of the prefecture.
    pub fn prefecture(&self) -> &str {
        &self.as_str()[..2]
    }
}

code_type!(
    /// 被保険者番号: ten digits, or `H` and nine digits for people on 生活保護 without 医療保険 (みなし2号).
    /// No check digit is mandated nationally, so none is checked (docs/requirements.md §15.1).
    #[doc(alias = "被保険者番号")]
    InsuredNumber,
    10,
    |b| if b[0] == b'H' { digits(&b[1..]).map_err(|_| IdError::Character { position: 2 }) } else { digits(b) }
);

code_type!(
    /// 事業所番号 (ten characters; the third may be `A` 総合事業 or `B` 介護医療院). A 医療機関 is known by its ten-digit
    /// 医療機関コード (都道府県 2, 点数表 1, 郡市区 2, 番号 4, 検証 1), which has the same shape.
    #[doc(alias = "事業所番号")]
    #[doc(alias = "医療機関コード")]
    OfficeNumber,
    10,
    |b| {
        for (i, c) in b.iter().enumerate() {
            if !(c.is_ascii_digit() || (i == 2 && matches!(c, b'A' | b'B'))) {
                return Err(IdError::Character { position: i + 1 });
            }
        }
        Ok(())
    }
);

impl OfficeNumber {
    /// `Some(expected digit)` when the check digit does not fit either rule in use. A warning only: 0.13 % of the real
    /// numbers of the national register fail both (docs/requirements.md §15.1).
    pub fn check_digit_warning(&self) -> Option<char> {
        let expected = check_digit_2_1(&self.0[..9]);
        let short_rule = matches!(&self.0[..2], b"11" | b"12" | b"13" | b"14")
            && matches!(self.0[2], b'1' | b'3' | b'5' | b'6')
            && self.0[9] == check_digit_2_1(&self.0[3..9]);
        (self.0[9] != expected && !short_rule).then_some(expected as char)
    }
}

code_type!(
    /// 介護支援専門員番号: eight digits, inner structure not verified publicly, hence opaque.
    #[doc(alias = "介護支援専門員番号")]
    CareManagerNumber,
    8,
    |b| digits(b)
);

code_type!(
    /// サービス種類コード: two characters (11 訪問介護, 43 居宅介護支援, A2 訪問型サービス …).
    #[doc(alias = "サービス種類コード")]
    ServiceType,
    2,
    |_| Ok(())
);

code_type!(
    /// 都道府県コード, 01–47.
    PrefectureCode,
    2,
    |b| {
        digits(b)?;
        if (b"01"..=b"47").contains(&b) { Ok(()) } else { Err(IdError::Character { position: 1 }) }
    }
);

/// One insured person of one insurer (P-023): the key of every record. Never changes; a move or renumbering makes a new
/// key and a link (P-038).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PersonKey {
    /// The paying insurer.
    pub insurer: InsurerNumber,
    /// The number it gave to the person.
    pub insured: InsuredNumber,
}

/// An organisation that may hold a client certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Organization {
    /// 介護事業所 or 医療機関.
    Office(OfficeNumber),
    /// 市区町村 (保険者).
    Municipality(InsurerNumber),
    /// 都道府県 (P-009).
    Prefecture(PrefectureCode),
    /// 運用者 (P-010).
    Operator,
}

impl Organization {
    /// The code under which it is stored and named in certificates: ten characters, six, two, or `operator`.
    pub fn parse(code: &str) -> Result<Self, IdError> {
        match code.len() {
            _ if code == "operator" => Ok(Self::Operator),
            2 => PrefectureCode::parse(code).map(Self::Prefecture),
            6 => InsurerNumber::parse(code).map(Self::Municipality),
            _ => OfficeNumber::parse(code).map(Self::Office),
        }
    }

    /// Its 事業所番号, if it is an office.
    pub fn office(&self) -> Option<OfficeNumber> {
        if let Self::Office(number) = self { Some(*number) } else { None }
    }
}

impl fmt::Display for Organization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Office(n) => n.fmt(f),
            Self::Municipality(n) => n.fmt(f),
            Self::Prefecture(n) => n.fmt(f),
            Self::Operator => f.write_str("operator"),
        }
    }
}

impl serde::Serialize for Organization {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Organization {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// True when the text could be an individual number (マイナンバー): twelve digits with its check digit. Such a text is
/// refused wherever it appears and never echoed (P-026, P-039).
pub fn looks_like_individual_number(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    if digits.len() != 12 || text.chars().any(|c| !c.is_ascii_digit() && c != '-' && c != ' ') {
        return false;
    }
    let sum: u32 = (1..=11).map(|n| digits[11 - n] * if n <= 6 { n as u32 + 1 } else { n as u32 - 5 }).sum();
    let expected = if sum % 11 <= 1 { 0 } else { 11 - sum % 11 };
    digits[11] == expected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insurer_numbers_printed_by_municipalities_are_accepted() {
        for number in
            ["435073", "294538", "143826", "232074", "131219", "292045", "282152", "221309", "131136", "122192"]
        {
            assert_eq!(InsurerNumber::parse(number).unwrap().as_str(), number);
        }
    }

    #[test]
    fn the_local_government_code_is_not_an_insurer_number() {
        let error = InsurerNumber::parse("232076").unwrap_err();
        assert_eq!(error, IdError::CheckDigit { expected: '4', found: '6' });
        assert!(error.message_ja().contains("検証番号"));
    }

    #[test]
    fn every_wrong_last_digit_of_an_insurer_number_is_refused() {
        let accepted = (0..10).filter(|d| InsurerNumber::parse(&format!("23207{d}")).is_ok()).count();
        assert_eq!(accepted, 1);
    }

    #[test]
    fn insured_numbers_are_ten_digits_or_h_and_nine() {
        assert!(InsuredNumber::parse("0001234567").is_ok());
        assert!(InsuredNumber::parse("H123456789").is_ok());
        assert!(InsuredNumber::parse("h123456789").is_err());
        assert!(InsuredNumber::parse("123456789").is_err());
        assert!(InsuredNumber::parse("H12345678X").is_err());
        assert!(InsuredNumber::parse("０００１２３４５６７").is_err());
    }

    #[test]
    fn an_office_number_with_an_odd_check_digit_is_accepted_with_a_warning() {
        assert_eq!(OfficeNumber::parse("9970000015").unwrap().check_digit_warning(), None);
        assert_eq!(OfficeNumber::parse("9970000016").unwrap().check_digit_warning(), Some('5'));
        assert!(OfficeNumber::parse("99B0000015").is_ok());
        assert!(OfficeNumber::parse("99C0000015").is_err());
    }

    #[test]
    fn hospitals_of_tokyo_may_use_the_short_check_digit_rule() {
        let body = "13112345";
        let short = check_digit_2_1(b"123456") as char;
        let number = OfficeNumber::parse(&format!("{}6{short}", body)).unwrap();
        assert_eq!(number.check_digit_warning(), None);
    }

    #[test]
    fn an_individual_number_is_recognised_whatever_its_separators() {
        assert!(looks_like_individual_number("123456789018"));
        assert!(looks_like_individual_number("1234-5678-9018"));
        assert!(!looks_like_individual_number("123456789012"));
        assert!(!looks_like_individual_number("0001234567"));
    }

    #[test]
    fn organisations_are_told_apart_by_the_shape_of_their_code() {
        assert!(matches!(Organization::parse("9970000015"), Ok(Organization::Office(_))));
        assert!(matches!(Organization::parse("232074"), Ok(Organization::Municipality(_))));
        assert!(matches!(Organization::parse("13"), Ok(Organization::Prefecture(_))));
        assert!(matches!(Organization::parse("operator"), Ok(Organization::Operator)));
        assert!(Organization::parse("48").is_err());
    }
}
