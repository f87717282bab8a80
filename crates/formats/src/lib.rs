//! Bytes to domain and back for every outside file. Nothing here stores, decides or reads the clock.
//!
//! Every reader answers with what it could read **and** all problems, never with the first fault, and never panics
//! (docs/files.md). Every writer is the exact inverse: what it writes, its reader takes without a problem.
//!
//! | module | files |
//! |---|---|
//! | [`layout`] | the one engine: item tables as data, CSV, encodings, value checks |
//! | [`care_plan`] | ケアプラン標準仕様 Ver. 4.1 (CSVバージョン 202407) |
//! | [`life`] | LIFE CSV, the 22 files of 2021 and newer forms like them |
//! | [`claims`] | 介護給付費の請求 (国保連): who was served where and when, nothing else |
//! | [`opinion_csv`] | 主治医意見書 CSV 1.1 |
//! | [`municipal`] | the municipal package, a profile of this project (not the official layout) |
//! | [`oqs`] | オンライン資格確認 at a terminal, XML; unofficial |
//! | [`pmh`] | certificates of the portal for PMH, JSON; unofficial |
//! | [`union_members`] | members of 広域連合, as an operator hands them over |

pub mod care_plan;
mod check;
pub mod claims;
mod json_text;
pub mod layout;
pub mod life;
pub mod municipal;
pub mod opinion_csv;
pub mod oqs;
pub mod pmh;
mod problem;
mod record;
mod scan;
pub mod text;
pub mod union_members;
mod xml;

pub use json_text::json_holds_individual_number;
pub use problem::{Problem, Problems, Severity, too_many_people};
