//! `hookboxctl web`: the page for people with a browser, served on loopback until the command ends.
//!
//! Limits: `limits::WEB_CONNECTIONS` at a time, of which `WEB_STREAMS` may be live streams;
//! `WEB_REQUESTS` requests that are with the daemon, further ones wait; heads of `WEB_HEAD` bytes
//! and `WEB_HEADERS` fields, bodies of `WEB_BODY` bytes, `WEB_TIMEOUT_MS` for each.
//!
//! Invariants:
//! * The daemon opens no port for the page and knows nothing of it: what the page asks under `/api`
//!   goes to the admin socket as the user who runs this command, and the daemon decides.
//! * Nothing of the daemon is answered before [`gate`] has let the request in: its `Host` is
//!   loopback (so no name of somebody else's leads here), it comes from the page itself, and it has
//!   the session's cookie and the key, which no other port of the host gets to see. The page's own
//!   files hold nothing secret and need no session.
//! * A session is opened once, with the token that was printed; only this gives out the key.
//! * Every answer says that it is not to be kept, not to be shown in a frame, and what the page may
//!   load: its own files and nothing else. Bodies of webhooks come as base64 in JSON and are shown
//!   as text.
//!
//! Things: [`assets`] (the files of the page, in the folder `page`), [`session`], [`gate`],
//! [`answer`], [`proxy`] (requests to the daemon), [`stream`] (its tail as server-sent events),
//! [`server`], [`browser`].
//!
//! Operations: [`web`] checks that the daemon can be reached, listens, prints the URL and serves.
//! Fatal: an address that is taken. Refused: everything that the gate does not let in.

mod answer;
mod assets;
mod browser;
mod gate;
mod proxy;
mod server;
mod session;
mod stream;

use std::net::SocketAddr;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::answer::Answer;
use super::args::WebArgs;
use super::client::AdminClient;
use super::error::CtlError;
use super::output::Output;
use crate::api::views::VersionView;
use crate::service::stdio;
use browser::OpenedBrowser;
use server::PageServer;
use session::PageSession;

/// What `--json` prints.
#[derive(Serialize)]
struct PageAddress<'a> {
    url: &'a str,
}

pub(super) fn web(client: &AdminClient, out: &mut Output, args: &WebArgs) -> Result<(), CtlError> {
    // A daemon that is not there, or not to be trusted, is reported here and not in a browser.
    client.get("/v1/version")?.view::<VersionView>()?;
    let (session, token) = PageSession::open()?;

    let route = client.route()?;

    client.wait_for(async {
        let mut terminate = signal(SignalKind::terminate())
            .map_err(|error| CtlError::Io { what: "cannot wait for a signal".into(), error })?;
        let listener = listen(args.listen).await?;
        let address = listener.local_addr().map_err(|error| no_listener(args.listen, error))?;
        let url = format!("http://{address}/?token={token}");
        announce(out, &url, address)?;
        let opened = if args.no_open { None } else { OpenedBrowser::open(&url) };

        let server = PageServer::new(route, session);
        tokio::select! {
            () = server.serve(listener) => {}
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        drop(opened);
        Ok(())
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, CtlError> {
    TcpListener::bind(address).await.map_err(|error| no_listener(address, error))
}

fn no_listener(address: SocketAddr, error: std::io::Error) -> CtlError {
    let what = format!(
        "cannot listen on {address} (another `hookboxctl web` may have it: `--listen \
         127.0.0.1:0` takes a free port)"
    );
    CtlError::Io { what, error }
}

/// Prints the URL, alone on standard output; what people should know goes beside it.
fn announce(out: &mut Output, url: &str, address: SocketAddr) -> Result<(), CtlError> {
    match out.json {
        true => out.line(Answer::of(&PageAddress { url })?.json())?,
        false => out.line(url)?,
    }
    out.finish()?;

    if out.is_for_eyes() {
        let port = address.port();
        stdio::note(format_args!(
            "It opens the page once, in a browser on this machine; Ctrl-C ends the page.\n\
             From another machine: ssh -N -o ExitOnForwardFailure=yes -L {port}:{address} \
             THIS-MACHINE"
        ));
    }
    Ok(())
}
