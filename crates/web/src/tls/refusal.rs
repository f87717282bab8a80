//! Why somebody was not let in, in words that can be counted.

use std::net::IpAddr;

use rustls::{CertificateError, Error as TlsError, PeerIncompatible};

/// A refused connection attempt, for the counter and the audit log. Holds nothing about persons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: RefusedHandshake,
    /// From where.
    pub source: IpAddr,
    /// SHA-256 of the certificate presented, if it came so far. Unless the reason is one of the certificate's standing,
    /// the client did not prove that it holds the key.
    pub fingerprint: Option<String>,
    /// Serial number of the certificate presented, lower-case hexadecimal.
    pub serial: Option<String>,
}

/// Why a connection was refused before HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusedHandshake {
    /// Leads to our CA but is on no list: a sign of a stolen CA key, raise an alarm.
    Unknown,
    /// Revoked (失効).
    Revoked,
    /// Past its end (期限切れ).
    Expired,
    /// Its office has stopped using the platform.
    OfficeInactive,
    /// Good on the closed line only: of a hospital's unattended program.
    ClosedLineOnly,
    /// Who may come in could not be read for a minute; nobody is let in meanwhile.
    StandingUnknown,
    /// Before its start; usually a wrong clock.
    NotYetValid,
    /// The client showed no certificate.
    NoCertificate,
    /// Issued by somebody else.
    OtherCa,
    /// A certificate for another purpose, e.g. a server's.
    WrongPurpose,
    /// A certificate that cannot be read, or whose key was not proved.
    BadCertificate,
    /// The client speaks TLS 1.2 or older only.
    OldTls,
    /// The client refused us: does not trust our certificate, or gave up.
    RefusedByClient,
    /// Not TLS, or broken TLS.
    NotTls,
    /// From the address of a load balancer, without the PROXY header that must come first.
    NoProxyHeader,
    /// The line was closed in the middle of the handshake.
    Disconnected,
    /// The handshake took too long.
    TimedOut,
    /// Too many open connections from this address.
    TooManyFromAddress,
    /// Too many open connections with this certificate.
    TooManyWithCertificate,
}

impl RefusedHandshake {
    /// Every one of them.
    pub const ALL: [Self; 19] = [
        Self::Unknown,
        Self::Revoked,
        Self::Expired,
        Self::OfficeInactive,
        Self::ClosedLineOnly,
        Self::StandingUnknown,
        Self::NotYetValid,
        Self::NoCertificate,
        Self::OtherCa,
        Self::WrongPurpose,
        Self::BadCertificate,
        Self::OldTls,
        Self::RefusedByClient,
        Self::NotTls,
        Self::NoProxyHeader,
        Self::Disconnected,
        Self::TimedOut,
        Self::TooManyFromAddress,
        Self::TooManyWithCertificate,
    ];

    /// The word for counters and the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_certificate",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::OfficeInactive => "office_inactive",
            Self::ClosedLineOnly => "closed_line_only",
            Self::StandingUnknown => "standing_unknown",
            Self::NotYetValid => "not_yet_valid",
            Self::NoCertificate => "no_certificate",
            Self::OtherCa => "other_ca",
            Self::WrongPurpose => "wrong_purpose",
            Self::BadCertificate => "bad_certificate",
            Self::OldTls => "old_tls",
            Self::RefusedByClient => "refused_by_client",
            Self::NotTls => "not_tls",
            Self::NoProxyHeader => "no_proxy_header",
            Self::Disconnected => "disconnected",
            Self::TimedOut => "timed_out",
            Self::TooManyFromAddress => "too_many_from_address",
            Self::TooManyWithCertificate => "too_many_with_certificate",
        }
    }

    /// The meaning of a failed TLS handshake.
    pub(super) fn from_error(error: &std::io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
            None => Self::Disconnected,
            Some(TlsError::NoCertificatesPresented) => Self::NoCertificate,
            Some(TlsError::InvalidCertificate(error)) => Self::from_certificate_error(error),
            Some(TlsError::PeerIncompatible(
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            )) => Self::OldTls,
            Some(TlsError::AlertReceived(_)) => Self::RefusedByClient,
            Some(_) => Self::NotTls,
        }
    }

    fn from_certificate_error(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::Revoked => Self::Revoked,
            // A foreign CA with our CA's name shows as a wrong signature.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::OtherCa,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => Self::WrongPurpose,
            _ => Self::BadCertificate,
        }
    }
}
