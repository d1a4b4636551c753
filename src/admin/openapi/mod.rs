//! `openapi.json` is generated from the types of `api` and the table of routes, and compared with
//! the committed file; with `HOOKBOX_WRITE_DOCS=1` it is written.

mod answers;
mod document;
mod inputs;
