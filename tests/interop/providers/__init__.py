"""One module per provider: how its official SDK signs a request, and what its own verifier says of one."""


def all_cases() -> list[type]:
    from providers import slack, standard_webhooks, stripe, svix, twilio

    return [
        slack.Events,
        slack.SlashCommands,
        standard_webhooks.Messages,
        stripe.Events,
        svix.Messages,
        twilio.Calls,
        twilio.Documents,
        twilio.Forms,
    ]
