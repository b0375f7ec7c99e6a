// The examples of the seeds, word for word where it can be: only the address is ours.
import { Autumn } from 'autumn-js-1.3';
import { Autumn as OldAutumn } from 'autumn-js-0.1';

const HOSTED = 'https://api.useautumn.com/v1';

export function examples(url, secretKey) {
  // Static calls know no other address than the hosted one.
  const { fetch } = globalThis;
  globalThis.fetch = (address, options) =>
    fetch(typeof address === 'string' ? address.replace(HOSTED, `${url}/v1`) : address, options);
  process.env.AUTUMN_SECRET_KEY = secretKey;

  return {
    async createEntity() {
      const autumn = new Autumn({ serverURL: url });
      const result = await autumn.entities.create({
        name: "Seat 42",
        featureId: "seats",
        customerId: "cus_123",
        entityId: "seat_42",
      });
      return result;
    },

    async getEntity() {
      const autumn = new Autumn({ serverURL: url });
      const result = await autumn.entities.get({
        entityId: "seat_42",
      });
      return result;
    },

    async createAdmin() {
      const autumn = new OldAutumn({ secretKey });
      // Create entity for the initial admin user
      return await autumn.entities.create("org_123", {
        id: "user_admin",
        name: "Admin User",
        feature_id: "seats",
      });
    },

    async createMember(id, name) {
      const autumn = new OldAutumn({ secretKey });
      return await autumn.entities.create("org_123", { id, name, feature_id: "seats" });
    },

    async totalBalance() {
      const autumn = new OldAutumn({ secretKey });
      // Check total balance across all users (omit entity_id)
      const { data } = await autumn.check({
        customer_id: "org_123",
        feature_id: "meeting_summaries",
      });
      // With 3 users at 50 each = 150 total
      return `Team has ${data.balance} total summaries remaining`;
    },

    async removeBob() {
      const autumn = new OldAutumn({ secretKey });
      // Remove Bob from the team
      return await autumn.entities.delete("org_123", "user_bob");
    },

    async removeStatically() {
      const autumn = OldAutumn;
      return await autumn.entities.delete("org_123", "user_abc");
    },
  };
}
