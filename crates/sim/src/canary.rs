//! Canaries: every invented person carries unmistakable words, another one in each free item, so that a leak is found by
//! a search and tells whose it is and which item it was.
//!
//! A word is `カナリア`, the item, and the seven digits of the person. No word is part of another one, none changes under
//! the folding of kana and kanji that the platform searches by, and every one fits into CP932.

/// Items that carry a word: 住所, 審査会意見, … Name, kana and telephone have their own forms.
const ITEMS: [&str; 14] =
    ["住所", "審査会", "理由", "制限", "備考", "続柄", "意向", "方針", "課題", "目標", "援助", "週間", "用具", "特記"];

/// 0 to 9 in kana without small letters and long marks: no digit begins like another one.
const DIGITS_IN_KANA: [&str; 10] = ["ゼロ", "イチ", "ニ", "サン", "ヨン", "ゴ", "ロク", "ナナ", "ハチ", "ク"];

/// Word of a person's kanji name: `カナリア0000042`.
pub fn name(n: u32) -> String {
    format!("カナリア{n:07}")
}

/// Word of the kana name: `カナリアゼロゼロゼロゼロゼロヨンニ`.
pub fn kana(n: u32) -> String {
    let digits = format!("{n:07}");
    let spoken = digits.bytes().filter_map(|digit| DIGITS_IN_KANA.get(usize::from(digit - b'0')));
    spoken.fold("カナリア".to_owned(), |word, digit| word + digit)
}

/// Telephone number that nobody has: `0000-000-0042`.
pub fn telephone(n: u32) -> String {
    format!("0000-{:03}-{:04}", n / 10_000, n % 10_000)
}

/// Word of another free item: `カナリア住所0000042`.
pub fn word(item: &str, n: u32) -> String {
    format!("カナリア{item}{n:07}")
}

/// Word in the name of an office or hospital: `カナリア事業所001`. Not secret as such; it is the whereabouts of people
/// under 不開示.
pub fn office(serial: u32) -> String {
    format!("カナリア事業所{serial:03}")
}

/// Every word of person `n`, whether or not this person has the item.
pub fn canaries(n: u32) -> Vec<String> {
    let mut words = vec![name(n), kana(n), telephone(n)];
    words.extend(ITEMS.iter().map(|item| word(item, n)));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use kiban_domain::insured::{normalize_kana, normalize_kanji};

    #[test]
    fn the_digits_of_a_person_are_spelled_in_kana() {
        assert_eq!(kana(42), "カナリアゼロゼロゼロゼロゼロヨンニ");
        assert_eq!(name(42), "カナリア0000042");
        assert_eq!(telephone(1_230_042), "0000-123-0042");
    }

    #[test]
    fn no_word_is_part_of_another_person_s_word() {
        let words: Vec<String> =
            [1, 2, 10, 42, 420, 4_200, 1_042, 999_999, 1_000_000].into_iter().flat_map(canaries).collect();
        for (i, a) in words.iter().enumerate() {
            for (j, b) in words.iter().enumerate() {
                assert!(i == j || !a.contains(b.as_str()), "{b} is part of {a}");
            }
        }
    }

    #[test]
    fn the_folding_of_names_leaves_the_words_as_they_are() {
        assert_eq!(normalize_kana(&kana(9_876_543)), kana(9_876_543));
        assert!(canaries(42).iter().all(|word| normalize_kanji(word) == *word));
    }
}
