//! Host names of the listeners: each has its own, stands in its certificate, and is the only one it answers to (decision
//! 0006.28).

use anyhow::{Result, bail};

/// The names, and how the public pages are reached.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// Of the organisations' listener.
    pub organizations: String,
    /// Of the public listener.
    pub public: String,
    /// Of the closed line's listener.
    pub line: String,
    /// Address of the public pages when it is not host and port of the listener, such as behind a load balancer.
    pub public_url: Option<String>,
    /// The same of the organisations' pages: passkeys are good for exactly this address.
    pub url: Option<String>,
}

/// Names that need no directory: every machine knows that they are itself.
pub const OFFICE: &str = "office.localhost";
/// The same of the public listener.
pub const PORTAL: &str = "portal.localhost";
/// The same of the closed line.
pub const LINE: &str = "line.localhost";

impl Default for Hosts {
    fn default() -> Self {
        let [organizations, public, line] = [OFFICE, PORTAL, LINE].map(str::to_owned);
        Self { organizations, public, line, public_url: None, url: None }
    }
}

impl Hosts {
    /// Each listener has a name of its own: what is meant for one is never answered by another.
    pub fn check(&self) -> Result<()> {
        let names = [&self.organizations, &self.public, &self.line];
        for (i, name) in names.iter().enumerate() {
            if names[..i].contains(name) {
                bail!("待受けごとに別のホスト名にしてください（{name} が2つあります）");
            }
        }
        let named = self.url.as_deref().map(kiban_service::PasskeySite::of);
        if let Some(site) = named.filter(|site| site.rp_id != self.organizations) {
            bail!(
                "--url は、--host のホスト名（{}）のアドレスにしてください（{} は別の名前です）",
                self.organizations,
                site.rp_id
            );
        }
        Ok(())
    }

    /// Where passkeys are used; `port` is that of the organisations' listener.
    pub fn site(&self, port: u16) -> kiban_service::PasskeySite {
        let own = format!("https://{}:{port}", self.organizations);
        kiban_service::PasskeySite::of(self.url.as_deref().unwrap_or(&own))
    }

    /// Address of the public pages; `port` is that of the listener.
    pub fn public_url(&self, port: u16) -> String {
        match &self.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if port == 443 => format!("https://{}", self.public),
            None => format!("https://{}:{port}", self.public),
        }
    }
}

/// Reads a host name: labels of letters, digits and hyphens, no port, no address. In lower case.
pub fn host_name(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_address = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if name.len() <= 253 && name.split('.').all(is_label) && !is_address {
        return Ok(name);
    }
    Err("ホスト名だけを書いてください（例 office.kaigo.example.jp。ポートや IP アドレスは書けません）".to_owned())
}

/// Reads the address of the public pages.
pub fn public_url(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").unwrap_or_default();
    let host = rest.trim_end_matches('/');
    let (name, port) = host.split_once(':').unwrap_or((host, "443"));
    if host_name(name).is_ok() && port.parse::<u16>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("https://ホスト名 か https://ホスト名:ポート の形で書いてください".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_lead_elsewhere_is_no_host_name() {
        assert_eq!(host_name("Office.Kaigo.Example.JP").unwrap(), "office.kaigo.example.jp");
        for name in ["", "a..b", "-a.jp", "a_b.jp", "192.0.2.1", "office:8443", "../x", "事業所.jp", "a.jp."] {
            assert!(host_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_public_pages_are_linked_where_they_are_reached() {
        let mut hosts = Hosts { public: "kaigo.example.jp".to_owned(), ..Hosts::default() };
        assert_eq!(hosts.public_url(9443), "https://kaigo.example.jp:9443");
        assert_eq!(hosts.public_url(443), "https://kaigo.example.jp");
        hosts.public_url = Some(public_url("https://kaigo.example.jp/").unwrap());
        assert_eq!(hosts.public_url(9443), "https://kaigo.example.jp");
        assert!(public_url("http://kaigo.example.jp").is_err() && public_url("https://x/\"").is_err());
        hosts.line = OFFICE.to_owned();
        assert!(hosts.check().unwrap_err().to_string().contains("office.localhost が2つ"));
        // The address browsers see, which a passkey is bound to.
        let mut hosts = Hosts::default();
        assert_eq!(hosts.site(8443).origin, "https://office.localhost:8443");
        hosts.url = Some("https://office.localhost/".to_owned());
        assert!(hosts.check().is_ok() && hosts.site(8443).origin == "https://office.localhost");
        hosts.url = Some("https://other.localhost".to_owned());
        assert!(hosts.check().unwrap_err().to_string().contains("other.localhost は別の名前"));
    }
}
