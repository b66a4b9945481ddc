//! Certificates that end: said while there is time, and loudly when there is none left, whether or not anything is reloaded.

use crate::domain::Phase;
use crate::edge::Relay;
use crate::observe::{CertificateEvent, Event};
use crate::runtime::state::Ending;

/// Looks at every certificate that is served. Also before somebody reads the status, so that both say the same.
pub(super) fn look(relay: &Relay) {
    let (snapshot, now) = (relay.snapshot(), relay.gate.clock.now());
    let mut ending = Vec::new();
    for listener in &snapshot.listeners {
        for certificate in listener.tls.iter().flat_map(|tls| &tls.certificates) {
            let expired = match certificate.lifetime.phase(now.secs()) {
                Phase::Expired => true,
                Phase::LastThird => false,
                Phase::NotYet | Phase::Good => continue,
            };
            let (listener, names) = ((&*listener.name).into(), certificate.names.join(", ").into());
            ending.push(Ending { listener, names, not_after: certificate.lifetime.not_after, expired });
        }
    }
    for Ending { listener, names, not_after, expired } in relay.gate.state.certificates.news(ending, now) {
        let event = CertificateEvent { listener: &listener, names: &names, not_after, expired };
        relay.gate.observer.record(&Event::Certificate(event));
    }
}
