//! The operator's hand; see `hookbox::ctl`.

fn main() -> std::process::ExitCode {
    hookbox::ctl::main()
}
