//! What is wrong with the files of `[tls]`, in words.

use rcgen::{CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::{ServerTls, TlsFiles, TlsSetup};

/// With the curve P-521, which `ring` does not know.
const P521: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIB+bPeA+QU4IaXS7y3\n\
FOuuXQiXg1NjyEjjn/3lIj6wv3lrYt3Sk84bXypdgpN4sF/4Z6XfoqIEK7s8ZKUE\n\
sR1w0BKhgYkDgYYABAGQjgx/kDvP/8rJ3Cpkxplg+Wm8B+mdIShzh0tQcjUyobM6\n\
M2DP4i4MV1u+OIUnpB+y5TsaBbfHaOLW8+AK98Y3DADkQOki4msDVfgT6BlPZZRA\n\
RhTxwv/LB9tfo3egfEn0r1WeRMkhvrMC9gcXbJI97RMEaszVyqOxLH3/UUnfkjty\n\
Og==\n\
-----END PRIVATE KEY-----\n";

fn issued(name: &str, is_ca: IsCa) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(vec!["box.example".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = is_ca;
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = TlsFiles {
        cert: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
        client_ca: Some(folder.path().join("clients.pem")),
    };
    let own = issued("box", IsCa::NoCa);
    let guest = issued("guest", IsCa::ExplicitNoCa);
    let write = |file: &std::path::Path, text: &str| std::fs::write(file, text).expect("written");
    write(&files.cert, &format!("\u{feff}{}", own.pem()));
    write(&files.key, &own.key().serialize_pem());
    write(files.client_ca.as_deref().expect("a file"), &guest.pem());

    let setup = TlsSetup::read(&files).expect("a certificate behind a byte order mark");
    let warnings = setup.warnings(1_780_000_000_000);
    let [no_authority] = warnings.as_slice() else { panic!("{warnings:?}") };
    assert!(no_authority.starts_with("tls.client_ca: the certificate 'CN=guest'"), "{warnings:?}");
    assert_eq!(setup.config.send_tls13_tickets, 0, "no session is resumed");

    let other = KeyPair::generate().expect("a key").serialize_pem();
    for (key, word) in [(P521, "P-256"), (&other, "does not fit"), ("", "no private key is in it")]
    {
        write(&files.key, key);
        let why = TlsSetup::read(&files).expect_err(word);
        assert!(why.starts_with("tls.") && why.contains(word), "{why}");
    }
}

#[test]
fn each_news_of_its_certificate_is_reported_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = TlsFiles {
        cert: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
        client_ca: None,
    };
    let own = issued("box", IsCa::NoCa);
    std::fs::write(&files.cert, own.pem()).expect("written");
    std::fs::write(&files.key, own.key().serialize_pem()).expect("written");
    let setup = TlsSetup::read(&files).expect("a certificate");
    assert!(setup.config.send_tls13_tickets > 0);

    let end = 1_893_456_000_000;
    let day = 24 * 3600 * 1000;
    let tls = ServerTls::new(setup.clone());
    tls.set(setup.clone(), end - 20 * day);
    let is_new = |at: u64| tls.news(at).is_some();
    assert_eq!(
        [20, 14, 13, 12, 1].map(|days| is_new(end - days * day)),
        [false, false, true, false, false]
    );
    assert_eq!([1, 2].map(|ms| is_new(end + ms)), [true, false]);

    // A start and a reload report it themselves.
    tls.set(setup.clone(), end - day);
    assert!(
        setup.warnings(end - day)[0].contains("renew it") && !is_new(end - day) && is_new(end + 1)
    );
}
