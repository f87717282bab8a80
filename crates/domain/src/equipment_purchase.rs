//! E2 福祉用具購入費利用情報: one purchase and what is left of the 10万円 of the 年度 (docs/requirements.md §15.10).

use crate::allowance::{Allowance, Allowed, Fresh, OverLimit, limit_yen};
use crate::dates::parse_yyyymmdd;
use crate::home_modification::PaymentMethod;
use crate::ids::OfficeNumber;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// E2 福祉用具購入費利用情報: one purchase. The account the money goes to is not held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "福祉用具購入")]
pub struct EquipmentPurchase {
    /// 種目
    pub item: EquipmentItem,
    /// 入浴補助用具の区分, for 入浴補助用具 only.
    pub bathing_aid: Option<BathingAid>,
    /// 商品名
    pub product: String,
    /// 製造事業者名
    pub maker: Option<String>,
    /// 販売事業者の事業所番号
    pub provider: Option<OfficeNumber>,
    /// 販売事業者名
    pub provider_name: String,
    /// 購入日: decides the 年度.
    pub purchased_on: Date,
    /// 購入金額, yen.
    pub cost: u32,
    /// 支給対象額, yen: counts against the limit.
    pub eligible: u32,
    /// 支給額, yen.
    pub paid: u32,
    /// 必要な理由
    pub need: Option<String>,
    /// Why the same item was bought again.
    pub again: Option<AgainReason>,
    /// 支給申請日
    pub claimed_on: Option<Date>,
    /// 支給決定日
    pub decided_on: Option<Date>,
    /// 支払方法
    pub payment: PaymentMethod,
    /// 入院・入所の有無 on the day of the purchase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_institution: Option<bool>,
    /// 領収書 handed in with the application. The document itself is not held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment_receipt: Option<bool>,
    /// パンフレット (商品の内容が分かるもの) handed in with it. The document itself is not held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brochure: Option<bool>,
}

choices! {
    /// 特定福祉用具の種目.
    EquipmentItem {
        ToiletSeat "1" "腰掛便座",
        WasteDisposalParts "2" "自動排泄処理装置の交換可能部品",
        ExcretionPredictor "3" "排泄予測支援機器",
        Bathing "4" "入浴補助用具",
        PortableBath "5" "簡易浴槽",
        LiftSling "6" "移動用リフトのつり具の部分",
        Ramp "7" "スロープ",
        WalkingFrame "8" "歩行器",
        WalkingStick "9" "歩行補助つえ",
    }

    /// 入浴補助用具の区分.
    BathingAid {
        Chair "1" "入浴用いす",
        TubRail "2" "浴槽用手すり",
        TubChair "3" "浴槽内いす",
        TubBoard "4" "入浴台",
        RoomSlats "5" "浴室内すのこ",
        TubSlats "6" "浴槽内すのこ",
        Belt "7" "入浴用介助ベルト",
    }

    /// 同じ種目をもう一度購入した理由.
    AgainReason {
        Broken "1" "破損等",
        NeedChanged "2" "介護の必要の程度の変化等",
    }
}

impl EquipmentItem {
    /// First day on which it could be bought with the insurance (`data/equipment_items.tsv`).
    pub fn available_from(self) -> Option<Date> {
        let rows = include_str!("../data/equipment_items.tsv").lines().filter(|line| !line.starts_with('#'));
        let row = rows.skip(1).find_map(|line| line.strip_prefix(self.code())?.strip_prefix('\t'))?;
        parse_yyyymmdd(&row.split('\t').next()?.replace('-', "")).ok()
    }
}

/// 年度 of a day: the year in which its 4/1 lies.
#[doc(alias = "年度")]
pub fn fiscal_year(day: Date) -> i16 {
    if day.month() >= 4 { day.year() } else { day.year() - 1 }
}

/// What is left in the 年度 of a day, from all purchases of the person in any order.
pub fn remaining(purchases: &[EquipmentPurchase], on: Date) -> Option<Allowance> {
    let limit = limit_yen(Allowed::EquipmentPurchase, on)?;
    let year = fiscal_year(on);
    let before = |p: &&EquipmentPurchase| p.purchased_on <= on;
    let of_year: Vec<&EquipmentPurchase> =
        purchases.iter().filter(before).filter(|p| fiscal_year(p.purchased_on) == year).collect();
    let used = of_year.iter().fold(0u32, |sum, p| sum.saturating_add(p.eligible));
    let earlier = purchases.iter().any(|p| fiscal_year(p.purchased_on) < year);
    Some(Allowance {
        limit,
        used,
        remaining: limit.saturating_sub(used),
        counted_in: format!("{year}年度"),
        since: of_year.iter().map(|p| p.purchased_on).min(),
        fresh: if earlier { Fresh::NewYear } else { Fresh::First },
        resets_from: None,
    })
}

/// What of a purchase counts against the limit and against a second one of the same 種目.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountedPurchase {
    item: EquipmentItem,
    bathing_aid: Option<BathingAid>,
    purchased_on: Date,
    eligible: u32,
    is_explained: bool,
}

/// The 年度 of one of the purchases, if more than its limit was used in it.
pub fn over_limit(purchases: &[CountedPurchase], one: usize) -> Option<OverLimit> {
    let year = fiscal_year(purchases.get(one)?.purchased_on);
    let of_year: Vec<usize> =
        (0..purchases.len()).filter(|at| fiscal_year(purchases[*at].purchased_on) == year).collect();
    let used = of_year.iter().fold(0u32, |sum, at| sum.saturating_add(purchases[*at].eligible));
    let last = of_year.iter().map(|at| purchases[*at].purchased_on).max()?;
    let limit = limit_yen(Allowed::EquipmentPurchase, last).filter(|limit| used > *limit)?;
    Some(OverLimit { counted_in: format!("{year}年度"), limit, used, of: of_year })
}

/// Other purchases of the same 種目 in the same 年度 as one of them: bought again (同一種目は1回) without a reason, whichever of
/// them was told first. One that says why it was bought again is not asked, nor does it ask. The parts of 入浴補助用具 are
/// items of their own.
pub fn bought_again(purchases: &[CountedPurchase], one: usize) -> Vec<usize> {
    let Some(this) = purchases.get(one).filter(|this| !this.is_explained) else { return Vec::new() };
    let same = |other: &CountedPurchase| {
        (other.item, other.bathing_aid) == (this.item, this.bathing_aid)
            && fiscal_year(other.purchased_on) == fiscal_year(this.purchased_on)
            && (!other.is_explained || other.purchased_on < this.purchased_on)
    };
    (0..purchases.len()).filter(|at| *at != one && same(&purchases[*at])).collect()
}

impl EquipmentPurchase {
    /// What of it counts.
    pub fn counted(&self) -> CountedPurchase {
        CountedPurchase {
            item: self.item,
            bathing_aid: self.bathing_aid,
            purchased_on: self.purchased_on,
            eligible: self.eligible,
            is_explained: self.again.is_some(),
        }
    }

    /// An earlier purchase of the same 種目 in the same 年度 that this one repeats without a reason (同一種目は1回, except
    /// when broken or when the need has changed). The parts of 入浴補助用具 are items of their own.
    pub fn repeats<'a>(&self, purchases: &'a [Self]) -> Option<&'a Self> {
        if self.again.is_some() {
            return None;
        }
        purchases.iter().find(|other| {
            (other.item, other.bathing_aid) == (self.item, self.bathing_aid)
                && fiscal_year(other.purchased_on) == fiscal_year(self.purchased_on)
                && other.purchased_on < self.purchased_on
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn purchase(item: EquipmentItem, purchased_on: Date, eligible: u32) -> EquipmentPurchase {
        EquipmentPurchase {
            item,
            bathing_aid: None,
            product: "見本の便座".into(),
            maker: None,
            provider: None,
            provider_name: "福祉用具みほん".into(),
            purchased_on,
            cost: eligible,
            eligible,
            paid: eligible / 10 * 9,
            need: None,
            again: None,
            claimed_on: None,
            decided_on: None,
            payment: PaymentMethod::Reimbursement,
            in_institution: None,
            payment_receipt: None,
            brochure: None,
        }
    }

    #[test]
    fn the_limit_is_100_000_yen_from_april_to_march() {
        let purchases = [
            purchase(EquipmentItem::ToiletSeat, date(2026, 3, 31), 90_000),
            purchase(EquipmentItem::Bathing, date(2026, 4, 1), 30_000),
        ];
        let left = |on| remaining(&purchases, on).map(|a| (a.remaining, a.counted_in, a.fresh)).unwrap();
        assert_eq!(left(date(2026, 3, 31)), (10_000, "2025年度".to_owned(), Fresh::First));
        assert_eq!(left(date(2026, 4, 1)), (70_000, "2026年度".to_owned(), Fresh::NewYear));
        assert_eq!(left(date(2027, 4, 1)), (100_000, "2027年度".to_owned(), Fresh::NewYear));
        assert_eq!(remaining(&purchases, date(2026, 4, 2)).unwrap().since, Some(date(2026, 4, 1)));
    }

    #[test]
    fn more_than_the_limit_leaves_nothing() {
        let purchases = [purchase(EquipmentItem::LiftSling, date(2026, 5, 1), 130_000)];
        assert_eq!(remaining(&purchases, date(2026, 6, 1)).unwrap().remaining, 0);
    }

    #[test]
    fn the_same_item_is_bought_once_a_year_unless_there_is_a_reason() {
        let first = [purchase(EquipmentItem::ToiletSeat, date(2026, 5, 1), 30_000)];
        let mut second = purchase(EquipmentItem::ToiletSeat, date(2026, 9, 1), 30_000);
        assert_eq!(second.repeats(&first), Some(&first[0]));
        second.again = Some(AgainReason::Broken);
        assert_eq!(second.repeats(&first), None);
        assert_eq!(purchase(EquipmentItem::ToiletSeat, date(2027, 4, 1), 1).repeats(&first), None, "the next 年度");
        let bathing = |aid, day| EquipmentPurchase {
            bathing_aid: Some(aid),
            ..purchase(EquipmentItem::Bathing, date(2026, 5, day), 20_000)
        };
        let chair = [bathing(BathingAid::Chair, 1)];
        assert_eq!(bathing(BathingAid::TubRail, 2).repeats(&chair), None);
        assert!(bathing(BathingAid::Chair, 2).repeats(&chair).is_some());
    }

    #[test]
    fn purchases_beyond_the_limit_of_a_year_and_those_bought_again_are_found() {
        let mut purchases = [
            purchase(EquipmentItem::ToiletSeat, date(2026, 5, 1), 60_000).counted(),
            purchase(EquipmentItem::ToiletSeat, date(2027, 3, 31), 40_000).counted(),
            purchase(EquipmentItem::ToiletSeat, date(2027, 4, 1), 90_000).counted(),
        ];
        assert_eq!(over_limit(&purchases, 1), None, "100,000 yen are within the limit");
        assert_eq!((bought_again(&purchases, 1), bought_again(&purchases, 0)), (vec![0], vec![1]));
        assert_eq!(bought_again(&purchases, 2), Vec::<usize>::new(), "the next 年度");
        purchases[1].eligible = 40_001;
        let over = over_limit(&purchases, 0).unwrap();
        assert_eq!((over.counted_in.as_str(), over.limit, over.used), ("2026年度", 100_000, 100_001));
        assert_eq!(over.of, [0, 1]);
        assert_eq!(over_limit(&purchases, 2), None);
        // The later one says why: neither is asked.
        purchases[1].is_explained = true;
        assert_eq!((bought_again(&purchases, 1), bought_again(&purchases, 0)), (vec![], vec![]));
    }

    #[test]
    fn items_come_in_by_date() {
        assert_eq!(EquipmentItem::ExcretionPredictor.available_from(), Some(date(2022, 4, 1)));
        assert_eq!(EquipmentItem::WalkingFrame.available_from(), Some(date(2024, 4, 1)));
        assert!(EquipmentItem::ALL.iter().all(|item| item.available_from().is_some()));
    }
}
