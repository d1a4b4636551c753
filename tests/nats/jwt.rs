//! Operator, account and users as `nsc` makes them: keys in the form of nkeys, and JWTs that are
//! signed with them. Only what a server asks for.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

/// The kinds of keys, by the first five bits of what is shown.
#[derive(Clone, Copy)]
pub enum Kind {
    Operator = 14 << 3,
    Account = 0,
    User = 20 << 3,
}

const SEED: u8 = 18 << 3;

/// A key, and who it is.
pub struct Nkey {
    kind: Kind,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

impl Nkey {
    pub fn new(kind: Kind) -> Self {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).expect("random bytes");
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key");
        Self { kind, seed, pair }
    }

    /// The public key, as servers know it.
    pub fn public(&self) -> String {
        shown(&[&[self.kind as u8], self.pair.public_key().as_ref()].concat())
    }

    /// The private key.
    pub fn seed(&self) -> String {
        let kind = self.kind as u8;
        shown(&[&[SEED | (kind >> 5), (kind & 31) << 3], &self.seed[..]].concat())
    }

    /// What this key says of another one.
    fn sign(&self, name: &str, of: &Self, nats: Value, expires: Option<u64>) -> String {
        let mut claims = json!({
            "jti": name, "iat": 1_700_000_000, "iss": self.public(), "name": name,
            "sub": of.public(), "nats": nats,
        });
        if let Some(expires) = expires {
            claims["exp"] = expires.into();
        }
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let head = json!({"typ": "JWT", "alg": "ed25519-nkey"});
        let signed = format!("{}.{}", part(&head), part(&claims));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

/// With its checksum (CRC-16/XMODEM).
fn shown(bytes: &[u8]) -> String {
    let mut crc = 0_u16;
    for byte in bytes {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    BASE32_NOPAD.encode(&[bytes, &crc.to_le_bytes()].concat())
}

/// An operator with one account for the boxes.
pub struct Operator {
    key: Nkey,
    account: Nkey,
    system: Nkey,
}

impl Operator {
    pub fn new() -> Self {
        let [account, system] = [Nkey::new(Kind::Account), Nkey::new(Kind::Account)];
        Self { key: Nkey::new(Kind::Operator), account, system }
    }

    /// The lines of a server's configuration that make it obey this operator.
    pub fn configuration(&self) -> String {
        let (account, system) = (self.account.public(), self.system.public());
        let nats = json!({"type": "operator", "version": 2, "system_account": system});
        let operator = self.key.sign("operator", &self.key, nats, None);
        let account_of = |key: &Nkey, name: &str, storage: i64| {
            let limits = json!({
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
                "wildcards": true, "conn": -1, "leaf": -1, "mem_storage": storage,
                "disk_storage": storage, "streams": storage, "consumer": storage,
            });
            let nats = json!({"type": "account", "version": 2, "limits": limits});
            self.key.sign(name, key, nats, None)
        };
        format!(
            "operator: {operator}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload {{ {account}: {}, {system}: {} }}\n",
            account_of(&self.account, "boxes", -1),
            account_of(&self.system, "system", 0)
        )
    }

    /// The `.creds` file of a new user, with these permissions.
    pub fn user(&self, permissions: &Value, expires: Option<u64>) -> String {
        let key = Nkey::new(Kind::User);
        let mut nats = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
            "pub": {}, "sub": {},
        });
        for (name, value) in permissions.as_object().expect("an object") {
            nats[name] = value.clone();
        }
        let jwt = self.account.sign("box-1", &key, nats, expires);
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            key.seed()
        )
    }
}
