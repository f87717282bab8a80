//! 情報種別: every kind of information the platform knows of, stored or not (docs/requirements.md §2.1).

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! kinds {
    ($($variant:ident $code:literal $name:literal $stored:literal,)+) => {
        /// A kind of information, the unit of sharing (P-020).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Kind {
            $(#[doc = $name] #[serde(rename = $code)] $variant,)+
        }

        impl Kind {
            /// All kinds in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Code of the catalogue, such as `A3a`.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// Name people know it by.
            pub fn name_ja(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Whether the platform stores it. B (請求・給付) is catalogued but never stored (※3, P-022).
            pub fn is_stored(self) -> bool {
                match self { $(Self::$variant => $stored,)+ }
            }

            /// The kind of a code.
            pub fn parse(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.code() == code)
            }
        }
    };
}

kinds! {
    A1 "A1" "認定調査票" true,
    A2 "A2" "主治医意見書" true,
    A3a "A3a" "介護保険被保険者証" true,
    A3b "A3b" "負担割合証" true,
    A3c "A3c" "負担限度額認定証" true,
    A4 "A4" "要介護認定申請書" true,
    A5 "A5" "認定事務の進捗状況" true,
    B1 "B1" "給付管理票" false,
    B2 "B2" "居宅介護支援介護給付費明細書" false,
    B3 "B3" "介護給付費請求書" false,
    B4 "B4" "総合事業費請求書" false,
    B5 "B5" "居宅・地域密着型サービス介護給付費明細書" false,
    B6 "B6" "介護予防サービス介護給付費明細書" false,
    B7 "B7" "総合事業費明細書" false,
    B8 "B8" "施設等介護給付費明細書" false,
    C1 "C1" "LIFE情報" true,
    Cp1 "CP1" "居宅サービス計画" true,
    Cp2 "CP2" "施設サービス計画" true,
    E1 "E1" "住宅改修費利用情報" true,
    E2 "E2" "福祉用具購入費利用情報" true,
    F1 "F1" "居宅サービス計画作成依頼届出" true,
    G1 "G1" "同意情報" true,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_holds_every_kind_but_h1_and_stores_all_but_billing() {
        // H1 (入退院時・訪問看護の様式) has no row in the sharing table and is exchanged, not shared: decision 0004.
        assert_eq!(Kind::parse("H1"), None);
        assert_eq!(Kind::ALL.len(), 22);
        let not_stored: Vec<_> = Kind::ALL.iter().filter(|k| !k.is_stored()).map(|k| k.code()).collect();
        assert_eq!(not_stored, ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8"]);
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.code()), Some(*kind));
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{}\"", kind.code()));
        }
    }
}
