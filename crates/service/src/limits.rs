//! The figures of [`Config`] as text: a line is a name and a number (`warning_days`: three), so that an operator changes a limit without a program.

use crate::Config;

impl Config {
    /// These figures with the changes of a text: `name number` a line (`warning_days 90,60,30`); empty lines and lines starting with `#` are skipped.
    /// The error names the line, in Japanese.
    pub fn changed_by(mut self, text: &str) -> Result<Self, String> {
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        {
            self.change(line).map_err(|fault| format!("{}行目: {fault}", i + 1))?;
        }
        Ok(self)
    }

    fn change(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        let (name, value) = match (words.next(), words.next(), words.next()) {
            (Some(name), Some(value), None) => (name, value),
            _ => return Err("「名前 数」の形で書いてください".to_owned()),
        };
        if name == "warning_days" {
            self.warning_days = three_stages(value)?;
            return Ok(());
        }
        if name == "second_factor" {
            let policy = crate::FactorPolicy::parse(value);
            let words =
                "second_factor は nobody（求めない）・administrators（管理者と運用者）・everybody（全員）のどれかです";
            self.second_factor = policy.ok_or_else(|| words.to_owned())?;
            return Ok(());
        }
        if name == "online_qualification" {
            let words = "online_qualification は yes（端末の資格確認の結果で登録できる）か no です";
            let known = [("yes", true), ("no", false)].into_iter().find(|(word, _)| *word == value);
            self.online_qualification = known.ok_or_else(|| words.to_owned())?.1;
            return Ok(());
        }
        let number = value.parse::<i32>().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| format!("{name} の値は1以上の整数にしてください"))?;
        match name {
            "opinion_days" => self.opinion_days = number,
            "opinion_draft_days" => self.opinion_draft_days = number.into(),
            "smallest_cell" => {
                let at_least =
                    format!("smallest_cell は{SMALLEST_CELL}以上にしてください。小さいと1人の有無が分かります");
                self.smallest_cell = u64::try_from(number).ok().filter(|n| *n >= SMALLEST_CELL).ok_or(at_least)?;
            }
            "months_without_claim" => self.months_without_claim = number,
            "months_of_opinion_request" => self.months_of_opinion_request = number,
            "mismatches_per_identity" => self.mismatches_per_identity = number,
            "mismatches_per_office" => self.mismatches_per_office = number,
            "login_failures" => self.login_failures = number,
            "login_lock_minutes" => self.login_lock_minutes = number.into(),
            "initial_password_days" => self.initial_password_days = number.into(),
            "idle_minutes" => self.idle_minutes = number.into(),
            "mail_codes" => self.mail_codes = number,
            "proof_minutes" => self.proof_minutes = number.into(),
            "revoked_handshakes" => self.revoked_handshakes = number,
            "disaster_reason_hours" => self.disaster_reason_hours = number.into(),
            "mass_view_people" => self.mass_view_people = number,
            "mass_view_people_program" => self.mass_view_people_program = number,
            "night_view_people" => self.night_view_people = number,
            "foreign_attempts" => self.foreign_attempts = number,
            "disaster_searches" => self.disaster_searches = number,
            "disaster_views" => self.disaster_views = number,
            "office_requests" => self.office_requests = number,
            "insurer_requests" => self.insurer_requests = number,
            "disaster_requests" => self.disaster_requests = number,
            "portal_requests" => self.portal_requests = number,
            "portal_log_ins" => self.portal_log_ins = number,
            "portal_idle_minutes" => self.portal_idle_minutes = number.into(),
            "portal_log_in_minutes" => self.portal_log_in_minutes = number.into(),
            "portal_code_days" => self.portal_code_days = number.into(),
            "portal_code_tries" => self.portal_code_tries = number,
            "proxy_years" => self.proxy_years = number,
            "session_days" => self.session_days = number.into(),
            "answer_hours" => self.answer_hours = number.into(),
            "returned_days" => self.returned_days = number.into(),
            "notice_days" => self.notice_days = number.into(),
            "slip_sets" => self.slip_sets = number,
            "upload_people" => self.upload_people = number,
            "upload_rows" => self.upload_rows = number,
            "staff_look_entries" => self.staff_look_entries = number,
            "slip_days" => self.slip_days = number.into(),
            _ => return Err(format!("{name} という設定はありません")),
        }
        Ok(())
    }
}

/// Below it a cell would tell of single people.
const SMALLEST_CELL: u64 = 3;

/// Three numbers of days with commas between them, the longest first: `90,60,30`.
fn three_stages(value: &str) -> Result<[i32; 3], String> {
    let days: Vec<i32> = value.split(',').filter_map(|days| days.parse().ok()).collect();
    match days[..] {
        [first, second, third] if first > second && second > third && third > 0 && value.matches(',').count() == 2 => {
            Ok([first, second, third])
        }
        _ => Err("warning_days は大きい順の3つの日数をコンマで区切ってください（例 90,60,30）".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_line_and_a_mistake_in_it_is_named() {
        let changed = Config::default().changed_by("# 避難所のため\n\ndisaster_searches\t500\n").unwrap();
        assert_eq!((changed.disaster_searches, changed.disaster_views), (500, Config::default().disaster_views));
        let changed =
            Config::default().changed_by("warning_days 120,60,14\nopinion_days 21\nsmallest_cell 20").unwrap();
        assert_eq!((changed.warning_days, changed.renewal_days()), ([120, 60, 14], 120));
        assert_eq!((changed.opinion_days, changed.smallest_cell), (21, 20));
        let fault = |text: &str| Config::default().changed_by(text).unwrap_err();
        assert!(fault("disaster_views 1\nsekai 1").contains("2行目") && fault("sekai 1").contains("sekai"));
        assert!(fault("disaster_views 0").contains("1以上"));
        assert!(fault("disaster_views").contains("名前 数"));
        for stages in ["90", "90,60", "30,60,90", "90,60,60", "90,60,0", "90,60,x", "90,60,30,10", "90,60,30,x"] {
            assert!(fault(&format!("warning_days {stages}")).contains("大きい順"), "{stages}");
        }
        assert!(fault("smallest_cell 2").contains("3以上"));
        let changed = Config::default().changed_by("second_factor administrators").unwrap();
        assert_eq!(changed.second_factor, crate::FactorPolicy::Administrators);
        assert!(fault("second_factor 1").contains("everybody"));
    }
}
