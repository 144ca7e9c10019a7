//! One link to an avatar server, from its upgrade to its end.

use voxline_protocol::agenthuman::{AvatarServer, AvatarServerCommand, AvatarServerEvent};
use voxline_session::Session;
use voxline_transport::Transport;

use super::{AvatarSimulator, is_open};
use crate::simulate::slng::{give, next_event};

pub(super) async fn serve(service: &AvatarSimulator, slot: usize, link: impl Transport) {
    let mut changes = service.0.changes.subscribe();
    let server = AvatarServer::new(service.server_config(slot));
    let (mut sender, mut receiver) = Session::builder(server).accept(link).split();
    let mut session_id: Option<String> = None;
    loop {
        tokio::select! {
            biased;
            event = next_event(&mut receiver) => {
                let Some(event) = event else { return };
                if let AvatarServerEvent::Established { session_id: id, .. } = &event {
                    session_id = Some(id.clone());
                }
                service.on_event(session_id.as_deref(), &event);
            }
            Ok(()) = changes.changed() => {
                let mut sessions = service.hosted(slot);
                sessions.retain(|session| is_open(session) || session_id.as_ref() == Some(&session.session_id));
                for session in sessions {
                    if !give(&mut sender, AvatarServerCommand::Host(Box::new(session))) {
                        return;
                    }
                }
            }
        }
    }
}
