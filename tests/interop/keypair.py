"""An Ed25519 key as Standard Webhooks writes it: whsk_ and the base64 of seed and public key."""
import base64

import nacl.signing

key = nacl.signing.SigningKey.generate()
print("whsk_" + base64.b64encode(key.encode() + key.verify_key.encode()).decode())
