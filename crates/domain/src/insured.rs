//! 被保険者: who a person is to an insurer (P-030, P-035…038).

use crate::ids::{InsurerNumber, PersonKey};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::LazyLock;

/// 性別 as on the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sex {
    /// 男
    Male,
    /// 女
    Female,
}

impl Sex {
    /// `1` 男, `2` 女, the code of every outside format.
    pub fn code(self) -> &'static str {
        match self {
            Self::Male => "1",
            Self::Female => "2",
        }
    }

    /// 男 or 女.
    pub fn name_ja(self) -> &'static str {
        match self {
            Self::Male => "男",
            Self::Female => "女",
        }
    }

    /// Inverse of [`Sex::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "1" => Some(Self::Male),
            "2" => Some(Self::Female),
            _ => None,
        }
    }
}

/// 基本4情報 and how to reach the person. Always sealed at rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// 氏名
    pub name: String,
    /// フリガナ
    pub kana: String,
    /// 生年月日
    pub birth: Date,
    /// 性別
    pub sex: Sex,
    /// 郵便番号, `NNN-NNNN`
    pub postal_code: Option<String>,
    /// 住所
    pub address: Option<String>,
    /// 電話番号
    pub telephone: Option<String>,
}

/// Why somebody ceased to be insured here (資格喪失事由).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossReason {
    /// 転出
    MovedOut,
    /// 死亡
    Died,
    /// その他 (職権抹消, 適用除外 …)
    Other,
}

choices! {
    /// 資格取得事由: why somebody became insured here.
    AcquisitionReason {
        Age "1" "65歳到達",
        MovedIn "2" "転入",
        SecondCategory "3" "第2号被保険者の認定",
        ExclusionEnded "4" "適用除外の終了",
        Other "9" "その他",
    }
}

/// 住所地特例: the facility somebody moved into from this insurer's area.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomicileFacility {
    /// 施設の名称
    pub name: Option<String>,
    /// 保険者番号 of the municipality in which it stands.
    pub insurer: Option<InsurerNumber>,
}

/// An insured person as the municipality knows them. Items added later are left out when empty, so that a row sent again has
/// the digest it had before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Insured {
    /// 保険者番号 and 被保険者番号.
    pub key: PersonKey,
    /// 証記載保険者番号: the number printed on the card; differs from the paying insurer's in a 広域連合 (P-038).
    pub card_insurer: InsurerNumber,
    /// Who it is.
    pub identity: Identity,
    /// 不開示 (DV etc., P-037): whereabouts reach nobody but the municipality and offices it confirmed.
    pub withheld: bool,
    /// 資格取得日
    pub acquired_on: Date,
    /// 資格喪失日 and its reason.
    pub lost: Option<(Date, LossReason)>,
    /// 住所地特例: lives in a facility outside the insurer's area.
    pub domicile_exception: bool,
    /// 資格取得事由
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquired_because: Option<AcquisitionReason>,
    /// Its facility, where 住所地特例 is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domicile_facility: Option<DomicileFacility>,
}

/// Why somebody has another number than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkReason {
    /// 番号変更
    Renumbered,
    /// 統合: two numbers were one person.
    Merged,
    /// 転入 from another insurer.
    MovedIn,
    /// 広域連合への加入・脱退
    Union,
}

impl LinkReason {
    /// `1` 番号変更, `2` 統合, `3` 転入, `4` 広域連合.
    pub fn code(self) -> &'static str {
        match self {
            Self::Renumbered => "1",
            Self::Merged => "2",
            Self::MovedIn => "3",
            Self::Union => "4",
        }
    }

    /// Inverse of [`LinkReason::code`].
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Renumbered, Self::Merged, Self::MovedIn, Self::Union].into_iter().find(|reason| reason.code() == code)
    }
}

/// 番号異動 (P-038): the person of a row had another number before. Gives nobody rights: the person sees both numbers, each
/// insurer its own, offices register again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberLink {
    /// The number before.
    pub before: PersonKey,
    /// 異動日
    pub changed_on: Date,
    /// Why.
    pub reason: LinkReason,
}

/// The four items typed from the card at 本人確認 (P-103), normalised so that the ways staff type kana do not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FourItems {
    /// 証記載保険者番号 and 被保険者番号.
    pub number: PersonKey,
    /// カナ氏名 after [`normalize_kana`].
    pub kana: String,
    /// 生年月日
    pub birth: Date,
    /// 性別
    pub sex: Sex,
}

/// Version of the normaliser and of what search tokens are made of; stored beside every token so that tokens can be
/// recomputed when it changes. 2: names are searched with the sex, no longer with the address.
pub const NORMALIZER_VERSION: u16 = 2;

/// Folds a kana name the ways people and systems write it: NFKC, ひらがな→カタカナ, small kana to large, ヂヅヴヰヱヲ to
/// ジズブイエオ, long marks, dots and spaces dropped (decision 0006.23).
pub fn normalize_kana(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let katakana = |c: char| match c {
        'ぁ'..='ゖ' => char::from_u32(c as u32 + 0x60).unwrap_or(c),
        _ => c,
    };
    let mut out = String::new();
    // NFKC composes half-width kana with their voicing marks (ｶﾞ → ガ).
    for c in text.nfkc().map(katakana) {
        let folded = match c {
            'ァ' => 'ア',
            'ィ' | 'ヰ' => 'イ',
            'ゥ' => 'ウ',
            'ェ' | 'ヱ' => 'エ',
            'ォ' | 'ヲ' => 'オ',
            'ッ' => 'ツ',
            'ャ' => 'ヤ',
            'ュ' => 'ユ',
            'ョ' => 'ヨ',
            'ヮ' => 'ワ',
            'ヵ' => 'カ',
            'ヶ' => 'ケ',
            'ヂ' => 'ジ',
            'ヅ' => 'ズ',
            'ヴ' => 'ブ',
            'ー' | '-' | '‐' | '−' | '―' | '・' | '･' | '\'' | '.' => continue,
            c if c.is_whitespace() => continue,
            c => c,
        };
        out.extend(folded.to_uppercase());
    }
    out
}

/// 異体字 folded for the disaster search by kanji (P-123). Data: one pair a line, variant then representative; not
/// complete, to be replaced by 文字情報基盤's table by whoever operates the platform.
const KANJI_VARIANTS: &str = "髙高 﨑崎 𠮷吉 濵浜 濱浜 邊辺 邉辺 齋斉 齊斉 斎斉 澤沢 櫻桜 廣広 國国 嶋島 嶌島 龍竜 瀧滝 德徳 冨富 惠恵 塚塚 榮栄 眞真 壽寿 \
     彌弥 禮礼 與与 條条 圓円 學学 實実 寬寛 寛寛 曾曽 曻昇 栁柳 桒桑 桺柳 隆隆 靑青 黑黒 淸清 渕淵 渊淵 籔藪 薮藪 檜桧 穗穂 會会 萬万 藏蔵 關関 豐豊 佛仏";

static VARIANTS: LazyLock<HashMap<char, char>> = LazyLock::new(|| {
    let pair = |pair: &'static str| pair.chars().next().zip(pair.chars().nth(1));
    KANJI_VARIANTS.split_ascii_whitespace().filter_map(pair).collect()
});

/// Folds a kanji name or a place for comparison: NFKC, spaces dropped, 異体字 by the table above.
pub fn normalize_kanji(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    let folded = |c: char| VARIANTS.get(&c).copied().unwrap_or(c);
    text.nfkc().filter(|c| !c.is_whitespace()).map(folded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ways_staff_type_a_name_are_the_same_name() {
        for typed in ["カクウ ハナコ", "ｶｸｳ ﾊﾅｺ", "かくう　はなこ", "カクウハナコ"] {
            assert_eq!(normalize_kana(typed), "カクウハナコ", "{typed}");
        }
        assert_eq!(normalize_kana("ｼﾞｮｰｼﾞ"), normalize_kana("ヂヨ－ヂ"));
        assert_eq!(normalize_kana("キョウコ"), normalize_kana("キヨウコ"));
    }

    #[test]
    fn different_names_stay_different() {
        assert_ne!(normalize_kana("ハナコ"), normalize_kana("バナコ"));
        assert_ne!(normalize_kanji("高橋"), normalize_kanji("大橋"));
    }

    #[test]
    fn variant_characters_of_a_name_are_folded() {
        assert_eq!(normalize_kanji("髙 濵"), normalize_kanji("高浜"));
        assert_eq!(normalize_kanji("渡邊"), normalize_kanji("渡辺"));
    }
}
