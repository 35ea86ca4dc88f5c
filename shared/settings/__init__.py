"""The app's settings, read from environment variables."""

from shared.settings.app import (
    KNOWN_API_VERSIONS,
    AuthLevel,
    PolicyFileSetting,
    Settings,
    allocation_policies_file,
    allocation_webhook_urls,
    azure_sdk_log_level,
    docs_auth_level,
    public_routes_auth_level,
)
from shared.settings.connection_strings import ConnectionString, webhook_address
from shared.settings.service_bus import (
    QUEUE_FUNCTIONS,
    InputQueues,
    ServiceBusSettings,
    are_disabled,
    input_queues,
)
from shared.settings.shared_access import (
    Right,
    SharedAccessPolicy,
    SharedAccessSettings,
    dps_routes_auth_level,
    host_name,
)
