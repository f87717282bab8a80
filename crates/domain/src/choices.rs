//! One enum per item of a form: its choices, the code of the file format and the words of the form.

/// Declares such enums; `ALL` is in the order of the form.
macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident $code:literal $label:literal,)+ })+) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ::serde::Serialize, ::serde::Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $(#[doc = $label] $variant,)+
        }

        impl $name {
            /// All choices in the order of the form.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Code in files.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// The choice of a code.
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|choice| choice.code() == code)
            }

            /// Words of the form.
            pub fn name_ja(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    )+};
}
