"""Alarms, and who is told of them: moto passes both over."""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.sns.models import sns_backends
from tests.aws.lab.gaps.place import Place, Properties


class Subscription:
    """What a stack knows of a subscription."""

    def __init__(self, inner: Any) -> None:
        self.physical_resource_id = inner.arn


def make_subscription(_: str, properties: Properties, place: Place) -> Any:
    """Moto knows it only as a part of its topic."""
    made = place.of(sns_backends).subscribe(properties["TopicArn"], properties["Endpoint"], properties["Protocol"])
    return Subscription(made)


def remove_subscription(subscription: Any, place: Place) -> None:
    """The same."""
    place.of(sns_backends).unsubscribe(subscription.physical_resource_id)


def make_alarm(name: str, properties: Properties, place: Place) -> Any:
    """Moto passes alarms over."""
    name = properties.get("AlarmName", name)
    alarm = place.of(cloudwatch_backends).put_metric_alarm(
        name=name,
        namespace=properties["Namespace"],
        metric_name=properties["MetricName"],
        comparison_operator=properties["ComparisonOperator"],
        evaluation_periods=properties["EvaluationPeriods"],
        period=properties["Period"],
        threshold=properties["Threshold"],
        statistic=properties["Statistic"],
        description=properties.get("AlarmDescription", ""),
        dimensions=properties.get("Dimensions", []),
        alarm_actions=properties.get("AlarmActions", []),
        ok_actions=properties.get("OKActions", []),
        treat_missing_data=properties.get("TreatMissingData"),
    )
    alarm.physical_resource_id = name
    return alarm


def change_alarm(alarm: Any, properties: Properties, place: Place) -> Any:
    """The same."""
    return make_alarm(alarm.name, properties, place)


def remove_alarm(alarm: Any, place: Place) -> None:
    """The same."""
    place.of(cloudwatch_backends).delete_alarms([alarm.name])
