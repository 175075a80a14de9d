//! The lines by which a worker that ends passes on what it is still asked, to the worker that listens
//! now. Pure text; which backend does so is `app_file`'s.

use std::net::SocketAddr;

use super::app_file::ONWARD;

/// The address is the client's as long as nobody has passed the request on who knew it better.
pub(super) fn asks(entrances: &[SocketAddr]) -> String {
    let addresses = entrances.iter().map(SocketAddr::ip);
    let own = addresses.filter(|ip| !ip.is_loopback() && !ip.is_unspecified());
    let here = own.fold(String::new(), |here, ip| format!("{here} {ip}"));
    format!(
        "
    # --- Who asked. What a worker that ends passes on (`x-cutover-onward`, from this machine) says so
    # already: else its own address would stand behind the client's.
    acl cutover_passed_on req.hdr(x-cutover-onward) -m found
    acl cutover_here src 127.0.0.0/8 ::1{here}
    http-request add-header x-forwarded-for %[src] unless cutover_passed_on cutover_here
    http-request del-header x-cutover-onward
    http-request set-header x-cutover-onward 1 if {{ stopping }}
"
    )
}

pub(super) fn passing_on(entrance: SocketAddr) -> String {
    format!(
        "
backend cutover_onward from cutover_defaults
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS TRACE PUT DELETE }}
    server {ONWARD} {entrance}
"
    )
}
