//! Header fields that only the hop before us could rightly state: a proxy in front of the daemon
//! says there who the client is, over which way the request came, and whether it is logged in. One
//! list, for what is kept of a request and for what is passed on to receivers.
//!
//! A receiver that stands behind a proxy of its own believes these fields. They were true of the
//! way to this daemon, or they are the sender's invention; of the way to the receiver they are
//! never true. Conditions and ranges (RFC 9110 section 13 and 14) ask for a part of an answer that
//! nobody but the sender is waiting for (and `Content-Range` says so of a body that an endpoint may
//! replace), and a field that overrides the method or the path makes
//! another request out of the delivery. Cloudflare answers 403 to requests with `cf-` fields.
//!
//! Names are compared as receivers read them: CGI and what came after it (WSGI, Rack, PHP) write
//! `HTTP_X_REAL_IP` for `x-real-ip` and `x_real_ip` alike, so whatever is neither letter nor digit
//! counts as a hyphen.

use std::borrow::Cow;

/// Names that begin so.
const PREFIXES: [&str; 46] = [
    "akamai-",
    "cf-",
    "client-cert",
    "cloudfront-",
    "fastly-",
    "fly-",
    "forwarded-",
    "if-",
    "impersonate-", // Kubernetes
    "incap-",
    "oidc-claim-",
    "remote-", // Authelia, CGI
    "ssl-client-",
    "tailscale-",
    "wl-proxy-", // WebLogic
    "x-accel-",  // Rack maps paths with it
    "x-akamai-",
    "x-amzn-mtls-",
    "x-amzn-oidc-",
    "x-amzn-tls-",
    "x-appengine-",
    "x-arr-",
    "x-auth-request-",
    "x-authenticated-",
    "x-authentik-",
    "x-azure-",
    "x-client-cert",
    "x-consumer-", // Kong
    "x-envoy-",
    "x-forward-",
    "x-forwarded",
    "x-goog-authenticated-user-",
    "x-middleware-",
    "x-ms-client-principal",
    "x-nf-",
    "x-original-",
    "x-pomerium-",
    "x-remote-", // Kubernetes
    "x-rewrite-",
    "x-ssl-",
    "x-sucuri-",
    "x-vercel-forwarded",
    "x-vercel-ip-",
    "x-vercel-proxy-",
    "x-vouch-",
    "x-webauth-",
];

/// Names that are these.
const NAMES: [&str; 52] = [
    "ali-cdn-real-ip",
    "cdn-loop",
    "cdn-src-ip",
    "client-ip",
    "content-range",
    "do-connecting-ip",
    "early-data", // RFC 8470
    "eo-connecting-ip",
    "forwarded",
    "front-end-https",
    "https", // CGI makes HTTP_HTTPS of it
    "max-forwards",
    "proxy", // CGI makes the variable HTTP_PROXY of it
    "proxy-client-ip",
    "range",
    "true-client-ip",
    "via",
    "x-amz-cf-id",
    "x-amzn-trace-id",
    "x-anonymous-consumer",      // Kong
    "x-apigateway-api-userinfo", // Google API Gateway
    "x-bluecoat-via",
    "x-client-ip",
    "x-client-verify",
    "x-cloud-trace-context",
    "x-cluster-client-ip",
    "x-coming-from",
    "x-credential-identifier", // Kong
    "x-endpoint-api-userinfo", // Google Cloud Endpoints
    "x-goog-iap-jwt-assertion",
    "x-host",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-https",
    "x-ingress-path",
    "x-invoke-path",
    "x-matched-path",
    "x-method-override",
    "x-nginx-proxy",
    "x-originating-ip",
    "x-proxy-user",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-real-port",
    "x-scheme",
    "x-script-name",
    "x-sendfile-type",
    "x-true-client-ip",
    "x-url-scheme",
    "x-userinfo", // APISIX, Kong
    "x-varnish",
];

/// Whether a field of this (lower-case) name belongs to the hop that it came over.
#[must_use]
pub fn is_hop_header(name: &str) -> bool {
    let name = &*canonical_header_name(name);
    // Some look for the names of CGI's variables among the headers, too.
    let name = name.strip_prefix("http-").unwrap_or(name);
    NAMES.binary_search(&name).is_ok() || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A (lower-case) name as receivers may read it that do not tell a hyphen from an underscore.
#[must_use]
pub fn canonical_header_name(name: &str) -> Cow<'_, str> {
    let is_other = |c: char| !c.is_ascii_alphanumeric() && c != '-';
    if name.contains(is_other) { name.replace(is_other, "-").into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use super::{NAMES, PREFIXES, is_hop_header};

    #[test]
    fn the_list_can_be_searched() {
        assert!(NAMES.is_sorted() && PREFIXES.is_sorted());
    }

    #[test]
    fn headers_of_proxies_are_known() {
        let names = [
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-forwarded",
            "forwarded",
            "via",
            "x-real-ip",
            "cf-connecting-ip",
            "cf-ray",
            "cdn-loop",
            "x-original-url",
            "x-rewrite-url",
            "x-http-method-override",
            "range",
            "if-range",
            "if-none-match",
            "if-modified-since",
            "true-client-ip",
            "x-amz-cf-id",
            "client-cert-chain",
            "x_forwarded_for",
            "x_real.ip",
            "if_none_match",
            "proxy",
            "impersonate-user",
            "x-remote-group",
            "remote-groups",
            "fastly-client-ip",
            "fly-client-ip",
            "x-amzn-trace-id",
            "x-amzn-mtls-clientcert-subject",
            "x-client-ip",
            "x-sendfile-type",
            "wl-proxy-client-ip",
            "wl_proxy_ssl",
            "http-x-forwarded-for",
            "http_client_ip",
            "http_x_forwarded",
            "proxy-client-ip",
            "content-range",
            "ali-cdn-real-ip",
            "cdn-src-ip",
            "eo-connecting-ip",
            "x-forward-for",
            "early-data",
            "https",
            "x-https",
            "x_userinfo",
            "x-pomerium-claim-email",
            "x-apigateway-api-userinfo",
        ];

        for name in names {
            assert!(is_hop_header(name), "{name}");
        }
    }

    #[test]
    fn headers_of_senders_are_left_alone() {
        let names = [
            "content-type",
            "user-agent",
            "x-github-event",
            "x-amz-sns-message-type",
            "x-amz-sns-topic-arn",
            "x-request-id",
            "traceparent",
            "x-client-id",
            "x-goog-pubsub-message-id",
            "x-origin",
            "confirm",
            "cfx",
            "iffy",
            "viable",
            "x-shopify-topic",
            "x-pd-nostore",
            "remotely",
            "proxyx",
            "x-amzn-requestid",
            "x-vercel-signature",
            "flyer",
            "http-status",
            "x-http-attempt",
            "content-type-range",
            "wl-event",
            "x-user-id",
            "x-forwarder",
            "early",
        ];

        for name in names {
            assert!(!is_hop_header(name), "{name}");
        }
    }
}
