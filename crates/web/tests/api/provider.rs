//! A provider that lies: OpenID Connect over real TLS on loopback, whose answers a test may change one by one.

use crate::world::{PUBLIC_HOST, Reply, World};
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kiban_pki::{Ca, server_config_public};
use kiban_web::Provider;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

pub const CLIENT: &str = "RP00000001";
pub const CALLBACK: &str = "https://www.kiban.test/me/callback";

/// A key pair and its PKCS #8 document.
pub struct Key {
    pair: EcdsaKeyPair,
    pub pkcs8: Vec<u8>,
}

impl Key {
    pub fn new() -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap().as_ref().to_vec();
        Self { pair: EcdsaKeyPair::from_pkcs8(kind, &pkcs8, &random).unwrap(), pkcs8 }
    }

    pub fn jwk(&self, kid: &str) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": b64(&point[1..33]), "y": b64(&point[33..]) })
    }

    fn public(&self) -> Vec<u8> {
        self.pair.public_key().as_ref().to_vec()
    }

    pub fn pem(&self) -> String {
        let text = base64::engine::general_purpose::STANDARD.encode(&self.pkcs8);
        format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
    }
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An ID token before it is signed, and how it will be.
pub struct Token {
    pub header: Value,
    pub claims: Value,
    pub how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By the published key.
    Own,
    /// By another one of the same name.
    OtherKey,
    /// Not at all.
    Unsigned,
    /// HMAC with the published key as the secret.
    HmacOfPublicKey,
}

type Change<T> = Box<dyn Fn(&mut T) + Send + Sync>;

/// What the provider does, and what it was told.
pub struct State {
    key: Key,
    client: Vec<u8>,
    pub issuer: String,
    /// The ID token.
    pub token: Change<Token>,
    /// The answer of the token endpoint.
    pub tokens: Change<Value>,
    pub userinfo: Change<Value>,
    pub metadata: Change<Value>,
    pub people: HashMap<String, Value>,
    /// Account and the request it was given for, by code.
    codes: HashMap<String, (String, HashMap<String, String>)>,
    pub read_keys: usize,
    pub read_description: usize,
    now: kiban_web::Clock,
}

pub struct Hostile(pub Arc<Mutex<State>>);

impl Hostile {
    /// Starts it, and gives what the platform needs to know of it.
    pub async fn start(dir: &Path, clock: kiban_web::Clock) -> (Self, Provider) {
        // TLS lives in the time of the machine, the tokens in that of the world.
        let now = jiff::Timestamp::now();
        let ca = Ca::init(&dir.join("provider-ca"), "認証事業者の認証局", now).unwrap();
        let issued = ca.issue_server(&["localhost"], 30, now).unwrap();
        let identity = kiban_pki::Identity::from_pem(&issued.cert_pem, &issued.key_pem).unwrap();
        let config = server_config_public(&identity).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
        let client = Key::new();
        let state = Arc::new(Mutex::new(State {
            key: Key::new(),
            client: client.public(),
            issuer: issuer.clone(),
            token: Box::new(|_| {}),
            tokens: Box::new(|_| {}),
            userinfo: Box::new(|_| {}),
            metadata: Box::new(|_| {}),
            people: HashMap::new(),
            codes: HashMap::new(),
            read_keys: 0,
            read_description: 0,
            now: Arc::clone(&clock),
        }));
        let served = Arc::clone(&state);
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(config);
            while let Ok((tcp, _)) = tcp.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&served));
                tokio::spawn(async move {
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let serve = service_fn(move |request| answer(Arc::clone(&state), request));
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tls), serve).await;
                });
            }
        });
        let file = settings(dir, &issuer, &client.pem(), ca.certificate_pem(), json!(["card"]));
        (Self(state), Provider::open(&file, clock).unwrap())
    }

    /// Somebody logs in there and is sent back: the query of the callback.
    pub fn agree(&self, account: &str, address: &str) -> Vec<(String, String)> {
        let asked = query_of(address);
        let mut state = self.0.lock().unwrap();
        let code = format!("code-{}", state.codes.len());
        let back = vec![
            ("code".to_owned(), code.clone()),
            ("state".to_owned(), asked["state"].clone()),
            ("iss".to_owned(), state.issuer.clone()),
        ];
        state.codes.insert(code, (account.to_owned(), asked));
        back
    }

    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    /// As it should be again.
    pub fn be_honest(&self) {
        self.change(|state| {
            state.token = Box::new(|_| {});
            state.tokens = Box::new(|_| {});
            state.userinfo = Box::new(|_| {});
            state.metadata = Box::new(|_| {});
        });
    }
}

/// The settings of an installation, as an operator writes them.
pub fn settings(dir: &Path, issuer: &str, key_pem: &str, ca_pem: &str, acr: Value) -> std::path::PathBuf {
    std::fs::write(dir.join("client.key"), key_pem).unwrap();
    std::fs::write(dir.join("provider-ca.pem"), ca_pem).unwrap();
    let settings = json!({
        "issuer": issuer, "client_id": CLIENT, "key": "client.key", "ca": "provider-ca.pem", "key_id": "own",
        "acr": acr,
    });
    let file = dir.join("provider.json");
    std::fs::write(&file, settings.to_string()).unwrap();
    file
}

pub fn query_of(address: &str) -> HashMap<String, String> {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    serde_urlencoded::from_str(query).unwrap()
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let mut state = state.lock().unwrap();
    let bearer = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let (status, value) = match (parts.method.as_str(), parts.uri.path()) {
        ("GET", "/.well-known/openid-configuration") => {
            state.read_description += 1;
            (200, state.metadata())
        }
        ("GET", "/jwks") => {
            state.read_keys += 1;
            (200, json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AA" }, state.key.jwk("k1")] }))
        }
        ("POST", "/token") => state.give_tokens(&serde_urlencoded::from_bytes(&body).unwrap()),
        ("GET", "/userinfo") => state.tell(&bearer.unwrap_or_default()),
        _ => (404, Value::Null),
    };
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Full::new(Bytes::from(value.to_string()))).unwrap())
}

impl State {
    fn metadata(&self) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer);
        let mut metadata = json!({
            "issuer": self.issuer, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"), "jwks_uri": at("/jwks"),
            "authorization_response_iss_parameter_supported": true,
        });
        (self.metadata)(&mut metadata);
        metadata
    }

    fn give_tokens(&mut self, form: &HashMap<String, String>) -> (u16, Value) {
        let refused = |why: &str| (400, json!({ "error": why }));
        if !self.is_client(&form["client_assertion"]) {
            return refused("invalid_client");
        }
        let Some((account, asked)) = self.codes.remove(&form["code"]) else { return refused("invalid_grant") };
        let challenge = b64(ring::digest::digest(&ring::digest::SHA256, form["code_verifier"].as_bytes()));
        if asked["code_challenge"] != challenge || asked["code_challenge_method"] != "S256" {
            return refused("invalid_grant");
        }
        if form["redirect_uri"] != asked["redirect_uri"] {
            return refused("invalid_grant");
        }
        let now = (self.now)().as_second();
        let access = format!("access-{account}");
        let hash = ring::digest::digest(&ring::digest::SHA256, access.as_bytes());
        let mut token = Token {
            header: json!({ "alg": "ES256", "kid": "k1" }),
            claims: json!({
                "iss": self.issuer, "sub": account, "aud": CLIENT, "exp": now + 300, "iat": now,
                "nonce": asked["nonce"], "at_hash": b64(&hash.as_ref()[..16]), "acr": "card",
            }),
            how: How::Own,
        };
        (self.token)(&mut token);
        let mut tokens = json!({ "access_token": access, "token_type": "Bearer", "id_token": self.sign(&token) });
        (self.tokens)(&mut tokens);
        (200, tokens)
    }

    /// Whether an assertion is the client's own, for this endpoint and this moment.
    fn is_client(&self, assertion: &str) -> bool {
        let (signed, signature) = assertion.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let fits = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.client).verify(signed.as_bytes(), &signature);
        let part = |n: usize| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').nth(n).unwrap()).unwrap()).unwrap()
        };
        let (header, claims, now) = (part(0), part(1), (self.now)().as_second());
        assert_eq!((&header["alg"], &header["kid"]), (&json!("ES256"), &json!("own")));
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(CLIENT), &json!(CLIENT)));
        assert_eq!(claims["aud"], json!(format!("{}/token", self.issuer)));
        assert!(claims["jti"].as_str().unwrap().len() >= 32 && claims["exp"].as_i64().unwrap() <= now + 60);
        fits.is_ok()
    }

    fn sign(&self, token: &Token) -> String {
        let signed = format!("{}.{}", b64(token.header.to_string()), b64(token.claims.to_string()));
        let other = Key::new();
        let signature = match token.how {
            How::Own => self.key.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
            How::OtherKey => other.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap().as_ref().to_vec(),
            How::Unsigned => Vec::new(),
            How::HmacOfPublicKey => {
                let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.key.public());
                ring::hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
            }
        };
        format!("{signed}.{}", b64(signature))
    }

    fn tell(&self, bearer: &str) -> (u16, Value) {
        let Some(account) = bearer.strip_prefix("Bearer access-") else { return (401, Value::Null) };
        let mut claims = self.people.get(account).cloned().unwrap_or_else(|| json!({}));
        claims["sub"] = json!(account);
        (self.userinfo)(&mut claims);
        (200, claims)
    }
}

/// A browser at the person's door: keeps cookies as a browser does.
#[derive(Default, Clone)]
pub struct PersonBrowser {
    pub cookies: HashMap<String, String>,
}

impl PersonBrowser {
    pub async fn get(&mut self, world: &World, path: &str) -> Reply {
        self.send(world, Method::GET, path, None).await
    }

    /// A form of one of our pages.
    pub async fn post(&mut self, world: &World, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(world, Method::POST, path, Some(serde_urlencoded::to_string(fields).unwrap())).await
    }

    pub async fn send(&mut self, world: &World, method: Method, path: &str, form: Option<String>) -> Reply {
        let mut request = Request::builder().method(method.clone()).uri(path).header(header::HOST, PUBLIC_HOST);
        request = request.header(header::ACCEPT, "text/html");
        if method == Method::POST {
            request = request.header(header::ORIGIN, format!("https://{PUBLIC_HOST}"));
            request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let reply = self.send_raw(world, request, form).await;
        assert!(!reply.headers.contains_key("access-control-allow-origin"));
        reply
    }

    pub async fn send_raw(
        &mut self,
        world: &World,
        mut request: axum::http::request::Builder,
        form: Option<String>,
    ) -> Reply {
        if !self.cookies.is_empty() {
            let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header(header::COOKIE, pairs.join("; "));
        }
        let mut request = request.body(form.map_or_else(Body::empty, Body::from)).unwrap();
        request.extensions_mut().insert(kiban_web::tls::RemoteAddr("198.51.100.7:50000".parse().unwrap()));
        let reply = Reply::of(world.outside.clone().oneshot(request).await.unwrap()).await;
        for set in reply.headers.get_all(header::SET_COOKIE) {
            self.keep(set.to_str().unwrap());
        }
        reply
    }

    fn keep(&mut self, set: &str) {
        assert!(set.starts_with("__Host-"), "{set}");
        for flag in ["; Path=/;", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(set.contains(flag), "{set}");
        }
        let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
        if set.contains("Max-Age=0;") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Begins a log-in: where the browser is sent.
    pub async fn begin(&mut self, world: &World) -> String {
        let reply = self.get(world, "/me/login").await;
        assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text());
        reply.headers[header::LOCATION].to_str().unwrap().to_owned()
    }

    pub async fn come_back(&mut self, world: &World, query: &[(String, String)]) -> Reply {
        let path = format!("/me/callback?{}", serde_urlencoded::to_string(query).unwrap());
        self.get(world, &path).await
    }
}
