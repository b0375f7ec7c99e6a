// A page of autumn-js 0.1, where check has taken the place of allowed.
import { AutumnProvider, useCustomer, useEntity } from 'autumn-js-0.1/react';
import { useState } from 'react';
import { show, Team } from './view.jsx';

function Page() {
  const [seatId, setSeatId] = useState(null);
  const { customer, attach, createEntity, check: checkTeam, refetch: refetchTeam } = useCustomer();
  const { entity, check, track, refetch } = useEntity(seatId);

  async function addSeat() {
    const { data, error } = await createEntity({
      id: "user_abc",
      name: "John Doe",
      featureId: "seats",
    });
    if (error) throw error;
    setSeatId(data.id);
    await refetchTeam();
  }

  async function use() {
    const { error } = await track({ featureId: "ai-messages", value: 10 });
    if (error) throw error;
    await Promise.all([refetch(), refetchTeam()]);
  }

  const team = checkTeam({ featureId: "ai-messages", requiredBalance: 20 }).data;
  return (
    <Team
      name={customer?.name}
      plan={customer?.products.find((product) => product.id === 'page_team')?.name}
      seat={entity?.name}
      left={entity?.features['ai-messages'].balance}
      allowed={check({ featureId: "ai-messages" }).data.allowed}
      buy={() => attach({ productId: 'page_team' })}
      addSeat={addSeat}
      use={use}
    >
      <p>The team {team.allowed ? 'may' : 'may not'} use 20 more</p>
    </Team>
  );
}

show(<AutumnProvider includeCredentials><Page /></AutumnProvider>);
