//! `chio http request --sealed` by each scheme, at a gateway that answers in no other way, and in front of others.

use std::net::SocketAddr;

use chio_core::crypto::Keypair;
use chio_http::dpop::ProofClaims;
use chio_kernel::clock::{Clock as _, SystemClock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::command::Running;
use crate::common::Place;
use crate::devices::{ISSUER, free, issuer, says, token};
use crate::harness::{Client, OK, Seen, read_request, recorder, status, upstream, values};

pub struct Site {
    pub place: Place,
    pub origin: String,
    address: SocketAddr,
    seen: Seen,
    _running: Running,
}

/// What a client says who it is by.
const CALLERS: [(&str, &str); 4] = [
    ("--key holder.key --token holder.token", "rfc9449"),
    ("--device phone.json --key phone.key --token phone.token", "device"),
    ("--session alice.session", "session"),
    ("--issuer URL --secret issuer.secret --subject agent-1 --action GET:/orders/:id", "ekey"),
];

impl Site {
    pub async fn start() -> Self {
        let (behind, seen) = recorder(OK).await;
        let (place, port) = (Place::empty(), free());
        issuer(&place);
        let origin = format!("http://127.0.0.1:{port}");
        place.chio("session setup --out session.setup").done();
        place.chio("keygen --out ekeys.key").done();
        place.write_private("issuer.secret", "a-secret-of-the-issuers-client");
        let secret = chio_core::digest::Digest::of(b"a-secret-of-the-issuers-client");
        place.write(
            "gateway.toml",
            format!(
                "[listen]\naddress = \"127.0.0.1:{port}\"\norigin = \"{origin}\"\n[upstream]\nurl = \"http://{behind}\"\n\
                 [kernel]\nstate = \"gateway.db\"\n[sealed]\nrequired = true\n\
                 [[route]]\ntool = \"GET:/orders/:id\"\n\
                 [session]\nsetup = \"session.setup\"\nregistration = \"open\"\nscope = \"orders.read\"\n\
                 [device]\n[[device.issuer]]\niss = \"{ISSUER}\"\naud = \"{origin}\"\njwks_file = \"jwks.json\"\n\
                 [rfc9449]\n[[rfc9449.issuer]]\niss = \"{ISSUER}\"\naud = \"{origin}\"\njwks_file = \"jwks.json\"\n\
                 [ekey.issuer]\niss = \"{origin}\"\nprivate_key = \"ekeys.key\"\n\
                 [ekey.issuer.client.agent]\nsecret_sha256 = \"{secret}\"\nsubs = [\"agent-1\"]\n\
                 actions = [\"GET:/orders/:id\"]\n"
            ),
        );
        let mut running = Running::start(&place);
        let address = running.next("listening");
        let site = Self { place, origin, address, seen, _running: running };
        site.clients();
        site
    }

    fn clients(&self) {
        let Self { place, origin, .. } = self;
        place.chio("keygen --out holder.key").done();
        self.holds("holder.token", &place.public_key("holder.key"));
        token(place, "phone.token", origin, "session-1");
        place.chio("keygen --algorithm p256 --out phone.key").done();
        let enroll = format!("http enroll --url {origin} --key phone.key --token phone.token --out phone.json");
        says(place, &enroll, 0, "Enrolled");
        place.write_private("alice.password", "correct horse battery staple");
        let user = format!("--url {origin} --user alice --password alice.password");
        says(place, &format!("http register {user}"), 0, "registered");
        says(place, &format!("http login {user} --out alice.session"), 0, "ok");
    }

    /// An access token of whoever has that key.
    fn holds(&self, file: &str, key: &str) {
        let Self { place, origin, .. } = self;
        let words = format!(
            "http token --key oauth.key --issuer {ISSUER} --audience {origin} --subject holder --scope orders.read"
        );
        place.write(file, place.chio(&format!("{words} --holder {key}")).done());
    }

    fn request(&self, caller: &str, more: &str) -> String {
        let caller = caller.replace("URL", &self.origin);
        format!("http request GET {}/orders/42?a=1 {caller} {more}", self.origin).trim_end().to_owned()
    }

    /// Sends the headers that were kept, and returns the status and what is said.
    async fn again(&self, headers: &str) -> (u16, String) {
        let mut client = Client(TcpStream::connect(self.address).await.unwrap());
        let host = self.origin.trim_start_matches("http://");
        let head = format!("GET /orders/42?a=1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        client.write(&format!("{head}{}\r\n", headers.replace('\n', "\r\n"))).await;
        let answer = client.rest().await;
        (status(&answer), answer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_by_whatever_scheme_opens_the_answer_alone() {
    let site = Site::start().await;
    let place = &site.place;
    for (caller, scheme) in CALLERS {
        let saved = format!("{scheme}.asked");
        let answer = says(place, &site.request(caller, &format!("--sealed --save {saved}")), 0, "ok");
        assert_eq!(answer, "ok\n", "{scheme}");
        let seen = site.seen.lock().unwrap().pop().unwrap();
        assert_eq!(values(&seen, "chio-scheme"), [scheme]);
        assert!(values(&seen, "response-key").is_empty() && values(&seen, "authorization").is_empty(), "{seen}");
        // Whoever reads along has a request that counts once, and cannot put a key of their own into it.
        let saved = place.read(&saved);
        let (status, said) = site.again(&saved).await;
        assert!(status == 401 && said.contains("nonce_replayed"), "{scheme}: {said}");
        let key = saved.lines().find(|line| line.starts_with("response-key: ")).unwrap();
        let swapped = saved.replace(key, "response-key: V9tLNZ8jrl4Ubk4lEgVnBHIlBjSMFQwUdT0Mkz0E1CE");
        let (status, said) = site.again(&swapped).await;
        let is_refused = ["proof_signature_invalid", "proof_binding_mismatch"].iter().any(|code| said.contains(code));
        assert!(status == 401 && is_refused, "{scheme}: {said}");
        // Nothing is answered otherwise here.
        says(place, &site.request(caller, ""), 1, "response_key_required");
    }
    assert!(site.seen.lock().unwrap().is_empty());
}

/// The answer of the gateway to a request of somebody else, for that key.
async fn stolen(address: SocketAddr, origin: &str, token: &str, asked: &str, nonce: &str) -> Vec<u8> {
    let claims = ProofClaims {
        method: "GET",
        url: &format!("{origin}/orders/42"),
        now: SystemClock.now().unwrap(),
        token: Some(token),
        nonce: Some(nonce).filter(|nonce| !nonce.is_empty()),
        query: Some("a=1"),
        body: None,
        response_key: Some(asked),
    };
    let proof = claims.sign(&Keypair::from_seed(&[66; 32])).unwrap();
    let host = origin.trim_start_matches("http://");
    let sent = format!(
        "GET /orders/42?a=1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAuthorization: DPoP {token}\r\n\
         DPoP: {proof}\r\nResponse-Key: {asked}\r\n\r\n"
    );
    let mut gateway = TcpStream::connect(address).await.unwrap();
    gateway.write_all(sent.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    gateway.read_to_end(&mut answer).await.unwrap();
    answer
}

/// Whoever stands between a client and the service, and can read and write: what they cannot is to make a request of the
/// client's their own.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_sealed_or_is_to_another_request_is_not_taken() {
    let site = Site::start().await;
    let place = &site.place;
    // As a caller of their own, who asks the gateway for an answer to that very key.
    let key = Keypair::from_seed(&[66; 32]);
    site.holds("thief.token", &key.public_key().to_string());
    let (token, origin, address) = (place.read("thief.token").trim().to_owned(), site.origin.clone(), site.address);
    let between = upstream(move |mut stream| {
        let (token, origin) = (token.clone(), origin.clone());
        async move {
            let request = read_request(&mut stream, &Seen::default()).await.unwrap();
            let asked = values(&request, "response-key")[0].to_owned();
            let answer = stolen(address, &origin, &token, &asked, "").await;
            // Right after its start the gateway asks for a nonce of its own.
            let nonce = values(&String::from_utf8_lossy(&answer), "dpop-nonce").join("");
            let answer = stolen(address, &origin, &token, &asked, &nonce).await;
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
            stream.write_all(&answer).await.unwrap();
        }
    })
    .await;
    let (open, _) = recorder(OK).await;
    for (place_of, what) in [(open, "the answer is not sealed"), (between, "another request")] {
        // What the client has, as if it were for there.
        for file in ["phone.json", "alice.session"] {
            let moved = place.read(file).replace(&site.origin, &format!("http://{place_of}"));
            place.write_private(&format!("moved.{file}"), moved);
        }
        for (caller, scheme) in CALLERS.into_iter().filter(|(_, scheme)| *scheme != "ekey") {
            let caller =
                caller.replace("phone.json", "moved.phone.json").replace("alice.session", "moved.alice.session");
            let words = format!("http request GET http://{place_of}/orders/42?a=1 {caller} --sealed");
            assert_eq!(says(place, &words, 1, what), "", "{scheme}: nothing of it is printed");
        }
    }
}
