//! What things are: numbers, dates, records and their own rules. No I/O, no clock, no law of sharing (that is `policy`).

#[macro_use]
mod choices;

pub mod allowance;
pub mod announcement;
pub mod application;
pub mod assignment;
pub mod base64;
pub mod care_plan;
pub mod certification;
pub mod consent;
pub mod dates;
pub mod equipment_purchase;
pub mod home_modification;
pub mod ids;
pub mod insurance_card;
pub mod insured;
pub mod kind;
pub mod life;
pub mod life_trend;
pub mod limits;
pub mod municipality;
pub mod notice;
pub mod office;
pub mod physician_opinion;
pub mod plan_request;
mod samples;
pub mod service_type;
pub mod slip;
pub mod survey;

pub use ids::{
    CareManagerNumber, InsuredNumber, InsurerNumber, OfficeNumber, Organization, PersonKey, PrefectureCode, ServiceType,
};
pub use jiff::Timestamp;
pub use jiff::civil::Date;
pub use kind::Kind;
