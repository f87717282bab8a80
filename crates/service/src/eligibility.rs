//! 資格の照会: from the numbers on a card to the card page in one request, 被保険者証・負担割合証・負担限度額認定証 as far as
//! the decision allows each (P-165 card details, P-168). It opens nothing that viewing would not: an office asks about the
//! people it is registered for, a municipality about its own insured, and everybody else's number is unknown.

use crate::decision::{Case, Question};
use crate::view::{OpenedKinds, identity_of, open_this_way, with_companions};
use crate::{Caller, Context, Error, KindView, Platform, WhyKind};
use kiban_domain::{InsuredNumber, InsurerNumber, Kind, Organization, PersonKey};
use kiban_store::{Outcome, UnopenedPerson};
use serde::Serialize;
use serde_json::Value;

/// The cards of the long-term care insurance.
pub(crate) const CARDS: [Kind; 3] = [Kind::A3a, Kind::A3b, Kind::A3c];

/// The card page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Eligibility {
    /// Handle of the person for the caller's organisation, for further requests.
    pub handle: String,
    /// What stands on the 被保険者証 about the person; only with that card.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub person: Option<Value>,
    /// The cards that may be seen, each with its history and validity.
    pub kinds: Vec<KindView>,
    /// The cards the caller would be entitled to, with what is missing.
    pub hidden: Vec<WhyKind>,
}

impl Platform {
    /// The card page of a person by 証記載保険者番号 and 被保険者番号. One audit entry for each card shown; that of the
    /// 被保険者証 covers name and address too. A disaster mode opens it only after a search with its reason, as it does a view.
    pub async fn eligibility<E: From<Error>>(
        &self,
        caller: &Caller,
        numbers: Result<(InsurerNumber, InsuredNumber), E>,
        context: &Context,
    ) -> Result<Eligibility, E> {
        let asked = self.may_ask(caller, context).await?;
        Ok(self.cards_by_number(caller, numbers?, &asked, context).await?)
    }

    /// The cards this way in is open for. Offices and municipalities may ask; about whom, only the number tells.
    async fn may_ask(&self, caller: &Caller, context: &Context) -> Result<Vec<Kind>, Error> {
        let asked = open_this_way(caller, &CARDS, self.table_at(context.now)?)?;
        if matches!(caller.organization, Organization::Office(_) | Organization::Municipality(_)) {
            return Ok(asked);
        }
        self.store().audit().append(caller.entry(context, "eligibility", Outcome::Refused)).await?;
        Err(Error::Unknown)
    }

    async fn cards_by_number(
        &self,
        caller: &Caller,
        (card_insurer, insured): (InsurerNumber, InsuredNumber),
        asked: &[Kind],
        context: &Context,
    ) -> Result<Eligibility, Error> {
        let insurer = self.standing().paying_insurer(card_insurer, context.today());
        let person = PersonKey { insurer, insured };
        let (case, unopened) = self.case_with(caller, person, (&with_companions(asked), true), context).await?;
        self.cards_of(caller, (&case, &unopened), asked, "eligibility", context).await
    }

    /// The cards of a person that were asked for with the facts.
    pub(crate) async fn cards_of(
        &self,
        caller: &Caller,
        (case, unopened): (&Case, &UnopenedPerson),
        asked: &[Kind],
        action: &str,
        context: &Context,
    ) -> Result<Eligibility, Error> {
        let opened = self.open_kinds(caller, (case, unopened), asked, action, context).await?;
        if opened.shown.is_empty() {
            return Err(self.refuse(caller, case, Question::read(Kind::A3a), action, context).await?);
        }
        let (kinds, hidden, shown) = self.release_cards(case, unopened, opened).await?;
        Ok(Eligibility { handle: self.handle_of(caller, case.person).await?, person: shown, kinds, hidden })
    }

    /// The cards and, under the entry of the 被保険者証, who it is.
    async fn release_cards(
        &self,
        case: &Case,
        unopened: &UnopenedPerson,
        OpenedKinds { shown, hidden }: OpenedKinds,
    ) -> Result<(Vec<KindView>, Vec<WhyKind>, Option<Value>), Error> {
        let mut identity = unopened.identity()?.map(|insured| insured.map(|insured| identity_of(case, &insured)));
        let shown = shown.into_iter().map(|(view, entry)| {
            let is_card = entry.kind.as_deref() == Some(Kind::A3a.code());
            match identity.take_if(|_| is_card) {
                Some(identity) => (view.zip(identity).map(|(view, identity)| (view, Some(identity))), entry),
                None => (view.map(|view| (view, None)), entry),
            }
        });
        let (mut kinds, mut person) = (Vec::new(), None);
        for (view, identity) in self.store().audit().release_all(shown.collect()).await? {
            kinds.extend(view);
            person = person.or(identity);
        }
        Ok((kinds, hidden, person))
    }
}
