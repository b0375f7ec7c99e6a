// A page of autumn-js 0.0, whose hooks have the words of the seeds: createEntity, allowed, track.
import { AutumnProvider, useCustomer, useEntity } from 'autumn-js-0.0/react';
import { useState } from 'react';
import { show, Team } from './view.jsx';

function Page() {
  const [seatId, setSeatId] = useState(null);
  const { customer, attach, createEntity, refetch: refetchTeam } = useCustomer();
  const { entity, allowed, track, refetch } = useEntity(seatId);

  async function buy() {
    const { error } = await attach({ productId: 'page_team' });
    if (error) throw error;
    await refetchTeam();
  }

  async function addSeat() {
    const { data, error } = await createEntity({
      id: "user_abc",
      name: "John Doe",
      featureId: "seats",
    });
    if (error) throw error;
    setSeatId(data.id);
  }

  async function use() {
    const { error } = await track({ featureId: "ai-messages", value: 10 });
    if (error) throw error;
    await refetch();
  }

  return (
    <Team
      name={customer?.name}
      plan={customer?.products.find((product) => product.id === 'page_team')?.name}
      seat={entity?.name}
      left={entity?.features['ai-messages'].balance}
      allowed={allowed({ featureId: "ai-messages" })}
      buy={buy}
      addSeat={addSeat}
      use={use}
    />
  );
}

show(<AutumnProvider><Page /></AutumnProvider>);
