// A page of autumn-js 1.3: it reads with hooks, and its own backend creates seats and tracks.
import {
  AutumnProvider,
  useAggregateEvents,
  useCustomer,
  useEntity,
  useListEvents,
  useListPlans,
} from 'autumn-js-1.3/react';
import { useState } from 'react';
import { show, Team } from './view.jsx';


async function ask(path, body) {
  const answer = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return await answer.json();
}

function Page() {
  const [entityId, setEntityId] = useState('');
  const { data: customer, attach, check, refetch: refetchTeam } = useCustomer({
    expand: ['subscriptions.plan'],
  });
  const { data: entity, refetch } = useEntity({ entityId, queryOptions: { enabled: !!entityId } });
  // Of a customer that is being made nothing else can be asked. Events are written within a second,
  // so the page asks again until it is closed.
  const once = { enabled: !!customer };
  const again = { ...once, refetchInterval: 200 };
  const { data: plans } = useListPlans({ queryOptions: once });
  const { list: events } = useListEvents({ featureId: 'ai-messages', queryOptions: again });
  const { total } = useAggregateEvents({
    featureId: 'ai-messages',
    range: '24h',
    queryOptions: again,
  });

  async function addSeat() {
    const seat = await ask('/seats', {
      entityId: "user_abc",
      name: "John Doe",
      featureId: "seats",
    });
    setEntityId(seat.id);
    await refetchTeam();
  }

  async function use() {
    await ask('/uses', { entityId, featureId: "ai-messages", value: 10 });
    await Promise.all([refetch(), refetchTeam()]);
  }

  // Worked out on the page, from balances that carry their features.
  const team = check({ featureId: 'ai-messages', requiredBalance: 20 });
  return (
    <Team
      name={customer?.name}
      plan={customer?.subscriptions.find((held) => held.planId === 'page_team')?.plan.name}
      seat={entity?.name}
      left={entity?.balances['ai-messages'].remaining}
      allowed={entity?.balances['ai-messages'].remaining >= 1}
      buy={() => attach({ planId: 'page_team' })}
      addSeat={addSeat}
      use={use}
    >
      <p>The team {team.allowed ? 'may' : 'may not'} use 20 more</p>
      {team.balance && <p>{team.balance.feature.name} are counted</p>}
      <p>{plans?.find((plan) => plan.id === 'page_team').items.length} features for sale</p>
      <p>Used {events?.length} times, {total?.['ai-messages']?.sum ?? 0} today</p>
    </Team>
  );
}

show(<AutumnProvider><Page /></AutumnProvider>);
